"""Results for a person."""

import pytest

from nplconf.output import table
from nplconf.settings import Settings


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
@pytest.mark.parametrize(
    ("when", "said"), [("always", "\x1b[32m+ one\x1b[0m\n"), ("never", "+ one\n"), ("auto", "+ one\n")]
)
def test_who_says_always_gets_colour_wherever_it_goes(
    environment: dict[str, str],
    when: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    table.write([("add", "+ one")], Settings(node="worker-1", color=when))  # type: ignore[arg-type]
    assert capsys.readouterr().out == said
