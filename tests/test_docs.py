"""The pages agree with the code: every command, option, exit code, reason and link."""

import json
import re
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from nplconf import errors
from nplconf.cli.main import COMMANDS
from nplconf.cli.options import OPTIONS

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in ROOT.glob("**/*.md") if not set(path.parts) & {".venv", ".cache", "node_modules"})
COMMAND_PAGE = (ROOT / "nplconf/cli/README.md").read_text()


def first_cells(page: str, heading: str) -> list[str]:
    """The first column of the first table below a heading, without the table's head."""
    lines = page.split(f"{heading}\n", 1)[1].splitlines()
    table = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))
    return [re.split(r"(?<!\\)\|", row)[1].strip() for row in table][2:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_command_is_documented() -> None:
    documented = [cell.strip("`").split()[0] for cell in first_cells(COMMAND_PAGE, "# Commands")]
    assert sorted(documented) == sorted(COMMANDS)


def test_every_option_is_documented() -> None:
    documented = set(re.findall(r"`(--[a-z-]+)[ `]", COMMAND_PAGE.split("## Options")[1].split("- **")[0]))
    assert documented == {option.flag for option in OPTIONS}


def test_every_exit_code_of_an_error_is_documented() -> None:
    documented = {int(cell) for cell in first_cells(COMMAND_PAGE, "## Exit codes")}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.NplconfError)]
    assert {kind.exit_code for kind in kinds} - {errors.StoppedError.exit_code} <= documented
    assert str(errors.StoppedError.exit_code) in COMMAND_PAGE


def test_every_reason_of_a_skipped_port_is_documented() -> None:
    schema = json.loads((ROOT / "schemas/plan.schema.json").read_text())
    reasons = schema["properties"]["spec"]["properties"]["skipped"]["items"]["properties"]["reason"]["enum"]
    documented = [cell.strip("`") for cell in first_cells((ROOT / "schemas/README.md").read_text(), "## A plan")]
    assert sorted(documented) == sorted(reasons)


def test_the_map_of_the_code_names_existing_modules() -> None:
    page = (ROOT / "nplconf/README.md").read_text().split("## Where to find it")[1].split("## Layers")[0]
    named = re.findall(r"`([a-z_/]+\.py)`", page)
    there = {path.name for path in (ROOT / "nplconf").glob("**/*.py")}
    assert [name for name in named if Path(name).name not in there] == []


def test_every_helper_module_of_the_tests_is_documented() -> None:
    page = (ROOT / "tests/README.md").read_text()
    helpers = {path.name for path in (ROOT / "tests").glob("*.py") if not path.name.startswith("test_")}
    documented = set(re.findall(r"`([a-z_]+\.py)`", page))
    assert helpers - documented == {"conftest.py"}
    assert documented - helpers == set()
