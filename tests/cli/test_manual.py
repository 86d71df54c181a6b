"""Man pages: every command, option, exit code and file is in them, and man accepts them."""

import subprocess
from pathlib import Path

import pytest
from test_docs import COMMAND_PAGE, first_cells

from nplconf import __version__
from nplconf.cli import manual
from nplconf.cli.main import COMMANDS, main
from nplconf.cli.options import OPTIONS, described
from nplconf.settings import CONFIG

FILES = manual.files()


def plain(text: str) -> str:
    """The text that man would show, without its layout."""
    return text.replace("\\-", "-").replace("\\(aq", "'").replace("\\&", "").replace("\\e", "\\")


def test_there_is_a_page_for_each_command_and_one_for_all() -> None:
    assert sorted(FILES) == sorted(["nplconf.1", *(f"nplconf-{name}.1" for name in COMMANDS)])
    assert all(f"{name}\\fR" in plain(FILES["nplconf.1"]) for name in COMMANDS)
    assert all(f'"nplconf {__version__}"' in text for text in FILES.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_has_the_options_that_the_command_uses_and_no_other(command: str) -> None:
    page = plain(FILES[f"nplconf-{command}.1"])
    for option in OPTIONS:
        assert (f"{option.flag}\\fR" in page) == (command in option.commands)
        assert (described(option) in page) == (command in option.commands)
    assert COMMANDS[command].example in page


def test_the_exit_codes_are_those_of_the_page_on_commands() -> None:
    assert [str(code) for code in manual.EXIT_CODES] == first_cells(COMMAND_PAGE, "## Exit codes")
    assert CONFIG in manual.FILES


def test_help_writes_the_pages(tmp_path: Path) -> None:
    assert main(["help", "--man-pages", str(tmp_path / "man1")]) == 0
    assert {path.name: path.read_text() for path in tmp_path.glob("man1/*")} == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_page_uses_plain_macros_only(name: str) -> None:
    macros = {".TH", ".SH", ".TP", ".B", ".br", ".nf", ".fi"}
    assert {line.split()[0] for line in FILES[name].splitlines() if line.startswith((".", "'"))} <= macros


@pytest.mark.systemd
def test_man_shows_the_pages_without_a_warning(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            ["man", "--warnings", "--local-file", tmp_path / name], capture_output=True, text=True, check=True
        )
        assert (done.stderr, name.removesuffix(".1") in done.stdout) == ("", True)
