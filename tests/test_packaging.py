"""What a person gets: the commands of the README, the targets, the files that ship."""

import re
import subprocess
from pathlib import Path

import conftest
import pytest

ROOT = Path(__file__).parents[1]


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_plain_make_lists_every_target() -> None:
    listed = set(re.findall(r"^make (\w+)", run("make", "--no-print-directory").stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert listed == set(phony[1].split())


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_test_that_cannot_run_here_fails_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest.shutil, "which", lambda _program: None)
    monkeypatch.setattr(conftest.os, "geteuid", lambda: 1000)
    assert conftest.lacking({"kernel"})[0] == "run the tests as root: make test"
    assert any("apt-get install iptables" in line for line in conftest.lacking({"kernel"}))
    assert conftest.lacking({"parametrize"}) == []


@pytest.mark.kernel
def test_a_test_without_root_is_no_test_run() -> None:
    made = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "make", "test")
    assert made.returncode != 0
    assert "run it as root" in made.stderr
