"""The option table, and the files that are generated from it or must agree with it."""

import re
from dataclasses import MISSING, fields

import optionpages
import pytest
import yaml

from nplconf.cli.main import COMMANDS
from nplconf.option import Option
from nplconf.settings import Settings, options

EXAMPLE = (optionpages.ROOT / "examples" / "config.yaml").read_text()
OPTIONS = pytest.mark.parametrize("option", options(), ids=lambda option: option.name)


def check(request: pytest.FixtureRequest, path: optionpages.Path, wanted: str) -> None:
    if request.config.getoption("--update-golden"):
        path.write_text(wanted)
    assert path.read_text() == wanted, "run: pytest tests/test_settings.py --update-golden"


def test_the_schema_is_generated_from_the_table(request: pytest.FixtureRequest) -> None:
    check(request, optionpages.SCHEMA, optionpages.schema())


def test_the_table_of_the_page_is_generated_from_the_table(request: pytest.FixtureRequest) -> None:
    check(request, optionpages.PAGE, optionpages.page(optionpages.PAGE.read_text()))


@OPTIONS
def test_every_option_is_used_by_commands_that_exist(option: Option) -> None:
    assert option.commands
    assert set(option.commands) <= set(COMMANDS)
    assert option.flag or option.key


@OPTIONS
def test_every_option_has_a_sentence_and_a_default_that_its_parser_accepts(option: Option) -> None:
    assert re.fullmatch(r"[A-Za-z].*\.", option.help)
    if option.default not in (None, ()):
        assert option.kind.parse(option.kind.data_of(str(option.default)) if option.kind.metavar else False) is not None


def test_names_of_flags_variables_and_keys_follow_from_the_name_of_the_field() -> None:
    by_name = {option.name: (option.flag, option.variable, option.key) for option in options()}
    assert by_name["state_dir"] == ("--state-dir", "NPLCONF_STATE_DIR", "stateDir")
    assert by_name["node_ips"] == ("", "", "nodeIPs")
    assert by_name["config"] == ("--config", "NPLCONF_CONFIG", "")


def test_every_field_of_the_settings_is_a_row_of_the_table() -> None:
    assert [option.name for option in options()] == [one.name for one in fields(Settings) if one.name != "node_origin"]
    with_default = {one.name for one in fields(Settings) if one.default is not MISSING}
    assert {option.name for option in options() if option.default is not None} <= with_default


@pytest.mark.parametrize("option", [option for option in options() if option.key], ids=lambda option: option.name)
def test_the_example_explains_every_key_and_states_the_defaults(option: Option) -> None:
    lines = EXAMPLE.splitlines()
    (at,) = (i for i, line in enumerate(lines) if re.match(rf"(# )?{option.key}:( |$)", line))
    above = lines[at - 1] if lines[at - 1] != "" else ""
    assert above.startswith("# ") or re.match(r"(# )?\w+:", above), "a key follows a comment or another key"
    found = yaml.safe_load(EXAMPLE)
    if option.key in found:
        assert str(option.kind.parse(found[option.key])) == str(option.default)
    else:
        assert option.default in (None, ()), "a key with a default stands in the example without a comment sign"
