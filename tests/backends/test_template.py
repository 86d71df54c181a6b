"""Templates that a user writes."""

import pytest

from nplconf.backends.template import compiled, rendered
from nplconf.errors import BadDataError

DOCUMENT = {
    "services": [{"id": "shop_web_80", "backends": [{"name": "web-0", "address": "fd00::1", "nodePort": 61001}]}],
    "lint": [],
}


def test_a_template_gets_the_document() -> None:
    servers = "{% for b in s.backends %}\n{{ b.name }} = {{ b | host_port }}\n{% endfor %}\n"
    text = "{% for s in services %}\n[{{ s.id }}]\n" + servers + "{% endfor %}\n"
    assert rendered(compiled(text, "t"), DOCUMENT, "t") == "[shop_web_80]\nweb-0 = [fd00::1]:61001\n"


def test_a_syntax_error_names_file_and_line() -> None:
    with pytest.raises(BadDataError, match=r"t\.j2:2: "):
        compiled("a\n{% for %}", "t.j2")


@pytest.mark.parametrize(
    "text", ["{{ sevices }}", "{{ 1 // 0 }}", "{{ services[0].nothing }}", "{{ ''.__class__.mro() }}"]
)
def test_a_template_that_fails_is_bad_data(text: str) -> None:
    with pytest.raises(BadDataError, match=r"t\.j2: "):
        rendered(compiled(text, "t.j2"), DOCUMENT, "t.j2")
