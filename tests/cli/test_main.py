"""The command line as a whole: help texts, examples, and suggestions for misspelled words."""

import re
import shlex

import pytest

from nplconf.cli import main as program
from nplconf.cli import options
from nplconf.cli.main import COMMANDS, main

EACH = pytest.mark.parametrize("command", COMMANDS)


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@EACH
def test_help_shows_an_example_and_only_the_options_that_the_command_uses(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = helped(command, capsys)
    assert f"Example:\n  {COMMANDS[command].example}\n" in text
    shown = set(re.findall(r"(?:^  |, )(--[a-z-]+)", text, re.MULTILINE))
    used = {option.flag for option in options.OPTIONS if command in option.commands}
    assert shown & set(options.FLAGS) == used
    groups = {option.group for option in options.OPTIONS if command in option.commands}
    assert {f"{group} options:" for group in groups} == set(re.findall(r"^\w[a-z ]* options:$", text, re.MULTILINE))


@EACH
def test_every_example_is_a_command_line_that_is_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []

    def run(_arguments: object, settings: object) -> int:
        ran.append(settings)
        return 0

    module = program.importlib.import_module(f"nplconf.cli.commands.{command.replace('-', '_')}")
    monkeypatch.setattr(module, "run", run)
    words = shlex.split(COMMANDS[command].example.removeprefix("sudo "))
    assert words[:2] == ["nplconf", command]
    assert main(words[1:]) == 0
    assert len(ran) == 1


@EACH
def test_every_command_accepts_the_options_of_all_others(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = program.importlib.import_module(f"nplconf.cli.commands.{command.replace('-', '_')}")
    monkeypatch.setattr(module, "run", lambda _arguments, _settings: 0)
    words = shlex.split(COMMANDS[command].example.removeprefix("sudo "))[1:]
    for flag, value in (("--cool-down", "5"), ("--no-events", None), ("--backend", "nft"), ("--allow-empty", None)):
        words += [flag, value] if value else [flag]
    assert main(words) == 0


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["aply"], 'unknown command "aply"; did you mean apply?'),
        (["uninstall"], 'unknown command "uninstall"; did you mean uninstall-units?'),
        (["xyz"], 'unknown command "xyz"; known are render, validate,'),
        (["apply", "--stat-dir=/x"], "unrecognized arguments: --stat-dir=/x; did you mean --state-dir?"),
        (["apply", "--chek"], "unrecognized arguments: --chek; did you mean --check?"),
        (["apply", "plan.yaml", "another.yaml"], "unrecognized arguments: another.yaml"),
        (["plan", "--detailed-exit-code"], "did you mean --detailed-exitcode?"),
        (["--node", "x", "apply"], "options follow the command: nplconf COMMAND --node"),
        (["\x1b[2J"], 'unknown command "\\u001b[2J"'),
    ],
)
def test_a_misspelled_command_or_option_is_named_with_the_closest_one(
    words: list[str], output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 64
    assert output in capsys.readouterr().err
