"""Closed or full standard streams: the exit code reports the run, and results and messages stay separate."""

import os
import subprocess
import sys
from pathlib import Path

import plans
import pytest
import worlds

from nplconf.plan import document


def shell(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m nplconf {words}"
    environ = os.environ | environment
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environ)


@pytest.fixture
def render(tmp_path: Path) -> str:
    """A command that prints a plan."""
    dump = worlds.write_objects(tmp_path / "dump.json", worlds.raw_list(worlds.raw_node()))
    return f"render --cluster-state {dump} --node {worlds.NODE}"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_reason_to_fail(render: str, closed: str) -> None:
    done = shell(f"{render} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_messages_to_a_closed_stderr_do_not_reach_stdout() -> None:
    done = shell("validate --no-such-option 2>&-")
    assert (done.returncode, done.stdout) == (64, "")


def test_a_full_stderr_does_not_change_the_exit_code() -> None:
    assert shell("schema nothing 2>/dev/full").returncode == 64


def test_a_result_that_cannot_be_written_is_reported_and_is_no_bug() -> None:
    done = shell("schema plan >/dev/full")
    assert (done.returncode, done.stderr) == (1, "nplconf: error: stdout: cannot be written: No space left on device\n")


@pytest.mark.parametrize("words", [["schema", "plan"], ["--version"]])
def test_a_reader_that_closes_the_pipe_ends_the_command_silently(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "nplconf", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_of_few_characters_gets_escapes(tmp_path: Path) -> None:
    files = []
    for number in (61044, 61045):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(document.dump(plans.plan(plans.mapping(node_port=number))))
    done = shell(f"diff {files[0]} {files[1]} -o markdown", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<code>61044</code> \\u2192 <code>tcp/61045</code>" in done.stdout


def test_a_closed_stdin_is_an_empty_plan_file() -> None:
    done = shell("validate - <&-")
    assert done.returncode == 65
    assert "empty" in done.stdout


@pytest.mark.parametrize(
    "words", ["validate --log-format json", "plan --log-format=json --config /none", "--log-format json"]
)
def test_a_wrong_command_line_is_reported_in_the_requested_format(words: str) -> None:
    assert shell(words).stderr.startswith('{"level": "error", "message": ')
