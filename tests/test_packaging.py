"""What a user gets: the commands of the README, the make targets, and the packaged files."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import conftest
import pytest

from nplconf.cli.commands.example import EXAMPLES
from nplconf.install import units

ROOT = Path(__file__).parents[1]


def run(*argv: str, cwd: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | variables
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_plain_make_lists_every_target() -> None:
    listed = set(re.findall(r"^make ([\w-]+)", run("make", "--no-print-directory").stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert listed == set(phony[1].split())


def test_a_test_that_cannot_run_here_fails_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest.shutil, "which", lambda _program: None)
    monkeypatch.setattr(conftest.os, "geteuid", lambda: 1000)
    assert conftest.lacking({"kernel"})[0] == "run the tests as root: make test"
    assert any("apt-get install iptables" in line for line in conftest.lacking({"kernel"}))
    assert conftest.lacking({"parametrize"}) == []


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the source archive and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out))
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel, unpacked: what pip would install."""
    (file,) = dist.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(dist / "unpacked")
    return dist / "unpacked"


def installed(wheel: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Python with the wheel's package in place of the checkout's."""
    return run(sys.executable, *argv, cwd=wheel, PYTHONPATH=str(wheel))


@pytest.mark.parametrize("name", ["plan", "config", "policy"])
def test_the_wheel_has_the_schemas(wheel: Path, name: str) -> None:
    printed = installed(wheel, "-m", "nplconf", "schema", name)
    assert (printed.returncode, printed.stdout) == (0, (ROOT / "schemas" / f"{name}.schema.json").read_text())


def test_the_wheel_has_the_units(wheel: Path) -> None:
    code = "import json, nplconf.install.units as u; print(json.dumps([u.__file__, u.fitted([u.PLACEHOLDER])]))"
    file, files = json.loads(installed(wheel, "-c", code).stdout)
    assert Path(file).is_relative_to(wheel)
    for unit in units.UNITS:
        assert files[f"{units.UNIT_DIRECTORY}/{unit}"] == (ROOT / "systemd" / unit).read_text()


def test_the_wheel_has_the_page(wheel: Path) -> None:
    plan = str(ROOT / "examples" / "plan.yaml")
    made = installed(wheel, "-m", "nplconf", "report", plan, "--no-cluster", "--state-dir", str(wheel / "none"))
    assert (made.returncode, made.stdout[:15]) == (0, "<!doctype html>"), made.stderr


def test_the_wheel_has_its_licence_and_one_command(wheel: Path) -> None:
    (metadata,) = wheel.glob("*.dist-info")
    assert (metadata / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "nplconf = nplconf.__main__:start" in (metadata / "entry_points.txt").read_text()


def test_the_source_archive_has_what_make_calls(dist: Path) -> None:
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        found = {name.partition("/")[2]: archive.getmember(name).mode for name in archive.getnames()}
    called = set(re.findall(r"\.ci/[\w./]+", (ROOT / "Makefile").read_text()))
    assert called
    assert all(found[name] & 0o111 for name in called)
    assert {"schemas/plan.schema.json", "systemd/nplconf.service", "examples/config.yaml", "tests/conftest.py"} <= set(
        found
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_wheel_has_the_examples(wheel: Path, name: str) -> None:
    printed = installed(wheel, "-m", "nplconf", "example", name)
    assert (printed.returncode, printed.stdout) == (0, (ROOT / "examples" / EXAMPLES[name][0]).read_text())


@pytest.mark.kernel
def test_a_test_without_root_is_no_test_run() -> None:
    made = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "make", "test")
    assert made.returncode != 0
    assert "run it as root" in made.stderr
