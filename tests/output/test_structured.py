"""Results for programs."""

import json

import pytest
import yaml

from nplconf.output import structured

DATA = {"file": "odd\udcff\x1b\n", "ok": False, "rows": [{"a": None, "b": 1}]}


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_any_text_survives_and_no_control_character_is_printed(form: str, read: object) -> None:
    message = structured.text(DATA, form)
    assert read(message) == DATA  # type: ignore[operator]
    assert message.isascii()
    assert message.replace("\n", "").isprintable()


def test_markdown_is_made_of_any_result() -> None:
    assert structured.text(DATA, "markdown").startswith("# nplconf\n\n**file: <code>odd")
