"""The entry point of every command."""

import subprocess
import sys

import pytest

from nplconf.__main__ import start

INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from nplconf.__main__ import start
sys.argv = ["nplconf", "schema", "plan"]
sys.exit(start())
"""


@pytest.mark.parametrize("name", ["nplconf.cli.main", "argparse", "nplconf.cli.commands.schema"])
def test_ctrl_c_while_modules_are_imported_prints_no_traceback(name: str) -> None:
    code = INTERRUPTED.format(name=name)
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (130, "", "")


ENDING = """
import gc, sys
from nplconf.cli import main as module

class Visited:
    def __del__(self):
        print("visited")

def main():
    gc.disable()
    one = Visited()
    one.itself = one
    return 3

module.main = main
from nplconf.__main__ import start
sys.argv = ["nplconf", "apply"]
sys.exit(start())
"""


def test_values_that_a_command_leaves_are_not_searched_for_cycles_at_its_end() -> None:
    command = [sys.executable, "-I", "-c", ENDING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (3, "", "")


def test_a_command_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["nplconf", "schema", "plan"])
    assert start() == 0
    assert capsys.readouterr().out.startswith("{")
