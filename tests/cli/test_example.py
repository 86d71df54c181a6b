"""The examples that are installed with nplconf."""

from pathlib import Path

import pytest
import yaml

from nplconf.cli.commands.example import EXAMPLES
from nplconf.cli.main import main

ROOT = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", name]) == 0
    printed = capsys.readouterr().out
    assert printed == (ROOT / EXAMPLES[name][0]).read_text()
    assert list(yaml.safe_load_all(printed))


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(EXAMPLES)


def test_an_unknown_name_is_a_usage_error_that_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", "rback"]) == 64
    assert "rbac" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["", "kubernetes", "prometheus"])
def test_every_yaml_file_for_a_node_has_a_name(folder: str) -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / folder).glob("*.yaml")}
    assert files <= {file for file, _ in EXAMPLES.values()}
