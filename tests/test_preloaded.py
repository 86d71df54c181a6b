"""A command by fork is like one that Python starts: what it has, what it leaves, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest

PROBE = """
import atexit, gc, json, os, random, signal, sys
from pathlib import Path

def look():
    streams = [sys.stdin, sys.stdout, sys.stderr]
    Path(os.environ["NPLCONF_TEST_PROBE"]).write_text(json.dumps({
        "argv": sys.argv, "path": sys.path, "orig_argv": sys.orig_argv, "flags": list(sys.flags),
        "environment": dict(os.environ), "directory": os.getcwd(), "main": sys.modules["__main__"].__spec__.name,
        "streams": [[s.encoding, s.errors, s.line_buffering, s.write_through, s.name, s.mode] for s in streams],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "ids": [os.getpgid(0), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0), os.getgroups()],
        "umask": [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask")],
        "descriptors": sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
        "collector": [gc.isenabled(), gc.get_threshold()],
        "spaces": [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "mnt", "pid", "user")],
        "random": random.random(), "hash": hash("nplconf"),
    }))

atexit.register(look)
"""
REAL = (sys.executable, "-m", "nplconf")
CAPTURED: dict[str, Any] = {
    "stdin": subprocess.PIPE,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What has Python run the probe at its start."""
    (tmp_path / "sitecustomize.py").write_text(PROBE)
    places = f"{preloaded.ROOT}:{tmp_path}"
    return dict(os.environ) | {"PYTHONPATH": places, "NPLCONF_TEST_PROBE": str(tmp_path / "probe.json")}


def probed(environment: dict[str, str]) -> dict[str, Any]:
    """What the probe of the last process saw."""
    found: dict[str, Any] = json.loads(Path(environment["NPLCONF_TEST_PROBE"]).read_text())
    return found


def test_it_has_what_a_process_of_its_own_has(environment: dict[str, str], tmp_path: Path) -> None:
    preloaded.run(["schema", "plan"], timeout=60, cwd=tmp_path, env=environment)
    forked = probed(environment)
    subprocess.run([*REAL, "schema", "plan"], cwd=tmp_path, env=environment, check=True, capture_output=True, input=b"")
    real = probed(environment)

    del forked["random"], forked["hash"], real["random"], real["hash"]
    assert forked == real


def test_what_a_process_has_at_random_differs(environment: dict[str, str]) -> None:
    seen = []
    for _ in range(4):
        preloaded.run(["schema", "plan"], timeout=60, env=environment)
        seen.append(probed(environment))

    assert len({one["random"] for one in seen}) == 4
    assert len({one["hash"] for one in seen}) == preloaded.SERVERS


@pytest.mark.parametrize(
    "words", [["schema", "plan"], ["schema", "none"], ["--version"], ["none"], ["schema", "--help"]]
)
def test_output_and_exit_code_are_those_of_a_process_of_its_own(words: list[str]) -> None:
    forked = preloaded.run(words, timeout=60, env=os.environ | {"PYTHONPATH": str(preloaded.ROOT)})
    real = subprocess.run([*REAL, *words], cwd=preloaded.ROOT, capture_output=True, text=True, check=False)

    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_a_variable_of_one_command_is_not_there_in_the_next(environment: dict[str, str]) -> None:
    for name in ("ONE", "TWO", "ONE"):
        preloaded.run(["schema", "plan"], timeout=60, env=environment | {name: "set"})
        assert {"ONE", "TWO"}.intersection(probed(environment)["environment"]) == {name}


def test_a_full_device_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        command = preloaded.Popen(["schema", "plan"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert "cannot be written" in command.communicate()[1]
    assert command.returncode == 1


@pytest.fixture
def endless() -> Iterator["preloaded.Popen"]:
    """A command that waits for a plan that nobody sends."""
    with preloaded.Popen(["validate", "-"], **CAPTURED) as command:
        yield command
        command.kill()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
)
def test_a_signal_reaches_it(endless: "preloaded.Popen", number: signal.Signals, code: int) -> None:
    time.sleep(0.2)
    assert endless.poll() is None
    endless.send_signal(number)

    assert endless.wait(20) == code


def test_a_command_that_does_not_end_in_time_is_killed(environment: dict[str, str], tmp_path: Path) -> None:
    note = tmp_path / "pid"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )

    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run(["schema", "plan"], timeout=1, env=environment)

    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_commands_run_side_by_side(endless: "preloaded.Popen") -> None:
    assert preloaded.run(["--version"], timeout=60).returncode == 0
    assert preloaded.run(["--version"], timeout=60).returncode == 0
    assert endless.poll() is None


def test_an_environment_that_python_reads_at_its_start_needs_a_real_process() -> None:
    with pytest.raises(AssertionError, match="real process"):
        preloaded.run(["--version"], timeout=60, env=os.environ | {"PYTHONUTF8": "0"})
