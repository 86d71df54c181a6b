"""A child process has a clean environment, an absolute path and a deadline, and always ends."""

import functools
import subprocess
import sys
import time
from pathlib import Path

import pytest
from steps import interrupted

from nplconf.errors import StoppedError, UnavailableError
from nplconf.node import command
from nplconf.node.command import run


def shell(script: str, *, text: str = "", deadline: float = 10.0) -> command.Completed:
    return run("sh", "-c", script, text=text, deadline=deadline)


def gone(path: Path, within: float = 5.0) -> bool:
    """Whether the process whose number is in a file has ended, or does so soon: a signal needs its time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{path.read_text().strip()}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_output_errors_and_exit_code_are_returned_separately() -> None:
    assert shell("echo out; echo err >&2; exit 3") == command.Completed(3, "out\n", "err\n")


def test_its_complaint_is_one_line() -> None:
    assert shell("echo 'a\n  b' >&2; exit 1").complaint == "a b"
    assert shell("exit 4").complaint == "exit code 4"


def test_a_child_gets_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_X", "evil")
    monkeypatch.setenv("PATH", "/tmp")
    words = {line.partition("=")[0] for line in run("env", deadline=10).text.splitlines()}
    assert words == {"PATH", "LC_ALL"}
    assert shell("echo $PATH $LC_ALL").text.split()[1] == "C"


def test_programs_are_found_only_in_system_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nplconf-test-tool").write_text("#!/bin/sh\n")
    (tmp_path / "nplconf-test-tool").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="nplconf-test-tool is not installed"):
        run("nplconf-test-tool", deadline=1)


def test_ten_megabytes_are_written_and_read() -> None:
    text = "0123456789\n" * 1_000_000
    assert shell("cat", text=text).text == text


def test_a_child_need_not_read_its_input() -> None:
    assert shell("exec 0<&-; echo done", text="x" * 1_000_000).text == "done\n"


def test_output_that_is_not_utf8_is_decoded_with_replacements() -> None:
    assert shell(r"printf '\377'").text == "\ufffd"


def test_a_child_that_hangs_is_killed_with_its_own_children(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"sh: no answer within 1 s; it was ended"):
        shell(f"sleep 60 & echo $! >{tmp_path}/pid; sleep 60", deadline=1)
    assert time.monotonic() - start < 3
    assert gone(tmp_path / "pid")


def test_a_child_whose_child_keeps_the_output_open_is_killed(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        shell(f"sleep 60 & echo $! >{tmp_path}/pid", deadline=1)
    assert gone(tmp_path / "pid")


def test_a_child_that_closes_its_output_and_stays_is_killed() -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        shell("exec >&- 2>&-; sleep 60", deadline=1)


def test_a_child_that_prints_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "OUTPUT_LIMIT", 1 << 20)
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="prints without end"):
        shell("yes", deadline=30)
    assert time.monotonic() - start < 10


def test_no_descriptor_is_left_open() -> None:
    shell("true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        shell("true")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_bound_child_is_killed_with_its_parent(tmp_path: Path) -> None:
    """Else what waits for a lock would write when the next run has looked, and gone."""
    file = tmp_path / "pid"
    code = (
        "import sys; from nplconf.node import command\n"
        "text = f'echo $$ >{sys.argv[1]}.new; mv {sys.argv[1]}.new {sys.argv[1]}; exec sleep 60'\n"
        "command.run('sh', '-c', text, deadline=60, bound=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file)]) as parent:
        until = time.monotonic() + 20
        while not file.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert Path(f"/proc/{file.read_text().strip()}").exists()
        parent.kill()
    assert gone(file)


@pytest.mark.timeout(60)
def test_the_error_of_a_signal_at_any_line_leaves_nothing_that_blocks_for_ever() -> None:
    """After one between two lines of `Popen.wait`, `Popen.wait` would never return again."""
    functions = ("_exchange", "_await", "wait", "_wait")
    for script in ("echo out", "exec >&- 2>&-; sleep 0.01"):
        lines = list(interrupted(functools.partial(shell, script), StoppedError, functions))
        assert len(lines) > 30
