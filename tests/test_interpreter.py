"""No child of nplconf runs code from the current directory or a home directory."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import worlds

import nplconf

SOURCES = sorted(Path(nplconf.__file__).parent.rglob("*.py"))
STARTERS = {"Popen", "run", "call", "check_call", "check_output"}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that start a child process."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="subprocess"), attr=name)) if name in STARTERS:
                yield node


def test_every_child_process_has_a_directory_of_its_own() -> None:
    found = [(path.name, call) for path in SOURCES for call in calls(ast.parse(path.read_text()))]

    assert found
    assert [(name, call.lineno) for name, call in found if "cwd" not in {word.arg for word in call.keywords}] == []


def test_one_module_says_how_python_is_started() -> None:
    assert [path.name for path in SOURCES if "sys.executable" in path.read_text()] == ["interpreter.py"]


def test_no_child_process_is_started_by_other_means() -> None:
    means = ("os.exec", "os.spawn", "os.posix_spawn", "os.system(", "os.popen(", "create_subprocess", "multiprocessing")

    assert [(path.name, word) for path in SOURCES for word in means if word in path.read_text()] == []


# --- the attack ------------------------------------------------------------------------------------------------------

MODULES = ("nplconf", "kubernetes", "yaml", "json", "ssl", "tempfile", "logging", "usercustomize", "sitecustomize")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory of another user, full of modules that leave a mark when they are imported."""
    directory = tmp_path / "hostile"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for place in (directory, directory / ".local/lib" / version / "site-packages"):
        for name in MODULES:
            package = place / name
            package.mkdir(parents=True)
            mark = f"open({str(tmp_path / 'mark')!r}, 'a').write(__name__ + '\\n')\n"
            for module in ("__init__.py", "__main__.py"):
                (package / module).write_text(mark)
            (package / "cluster/api").mkdir(parents=True)
            for module in ("cluster/__init__.py", "cluster/api/__init__.py", "cluster/api/plugins.py"):
                (package / module).write_text(mark)
    return directory


def test_root_in_the_directory_of_another_user_runs_no_code_of_that_user(hostile: Path, tmp_path: Path) -> None:
    plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}}
    kubeconfig = worlds.kubeconfig(tmp_path / "kubeconfig", plugin)
    nplconf_command = Path(sys.executable).with_name("nplconf")

    done = subprocess.run(
        [nplconf_command, "render", "--kubeconfig", str(kubeconfig), "--node", "n"],
        cwd=hostile,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HOME": str(hostile)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert "no credentials from its plugin" in done.stderr
    assert not (tmp_path / "mark").exists()
