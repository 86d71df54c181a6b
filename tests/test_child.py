"""A child process ends, whatever it and the one that waits for it were doing."""

import os
import subprocess
from pathlib import Path

import pytest
from steps import interrupted

from nplconf.child import end
from nplconf.errors import StoppedError


def started(script: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)


def test_one_that_runs_is_killed() -> None:
    process = started("sleep 60")
    end(process)
    assert process.returncode == -9


def test_one_that_was_waited_for_gets_no_signal_and_its_exit_code_stays() -> None:
    with started("exit 3") as process:
        process.wait()
        end(process)
    assert process.returncode == 3


@pytest.mark.timeout(60)
def test_an_error_at_any_line_of_waiting_for_it_does_not_make_it_wait_for_ever() -> None:
    """Between two lines of `Popen.wait` it leaves a lock locked."""
    processes: list[subprocess.Popen[bytes]] = []

    def waited() -> None:
        processes.append(started("echo out"))
        try:
            processes[-1].communicate(timeout=10)
        finally:
            end(processes[-1])

    lines = list(interrupted(waited, StoppedError, ("communicate", "_communicate", "wait", "_wait")))
    assert len(lines) > 20
    assert {process.returncode for process in processes} == {0, -9}
    for process in processes:
        with pytest.raises(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def test_it_has_no_open_stream_afterwards() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for script in ("echo out", "sleep 60"):
        end(started(script))
    assert set(Path("/proc/self/fd").iterdir()) == before
