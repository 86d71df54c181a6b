"""`nplconf help`, `nplconf --help` and `nplconf --version`."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from nplconf import __version__
from nplconf.cli.main import COMMANDS, PURPOSES, main

FAST = 0.05
"""Seconds of processor time for `nplconf --version`, beyond what the interpreter alone takes."""


def test_every_command_has_one_purpose() -> None:
    assert sorted(name for names in PURPOSES.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands_by_purpose(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    for purpose, names in PURPOSES.items():
        part = text.split(f"{purpose}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == list(names)
    assert all(command.about in text for command in COMMANDS.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_its_help_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", command]) == 0
    output = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert capsys.readouterr().out == output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["help", "aply"], 'unknown command "aply"; did you mean apply?'),
        (["help", "xyz"], 'unknown command "xyz"; see nplconf --help'),
        ([], "a COMMAND is missing; see nplconf --help"),
    ],
)
def test_help_names_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["help", "apply"], ["completion", "bash"], ["completion", "nodes"]])
def test_a_wrong_config_file_hides_no_help(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "config.yaml"
    wrong.write_text("{")
    monkeypatch.setenv("NPLCONF_CONFIG", str(wrong))
    assert main(words) == 0


def seconds(*argv: str) -> float:
    """The least processor time of several runs: others use the machine, too."""
    found = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-I", *argv], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.stdout in ("", f"nplconf {__version__}\n")
    return min(found)


def test_the_version_takes_at_most_50_ms_of_processor_time_beside_the_interpreter() -> None:
    code = "import sys; sys.argv = ['nplconf', '--version']; from nplconf.__main__ import start; sys.exit(start())"
    assert seconds("-c", code) - seconds("-c", "pass") < FAST


def test_the_version_imports_nothing_but_the_version() -> None:
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['nplconf', '--version']\n"
        "from nplconf.__main__ import start; start(); print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "['nplconf', 'nplconf.__main__']"
