"""Several runs on one node at once: they run one after the other, and one that waits too long reports it."""

import fcntl
import json
import os
import subprocess
import sys

import pytest
from changing import Site
from echo import Answer
from worlds import annotations

pytestmark = pytest.mark.kernel
IMPATIENT = """
import sys
from nplconf import deadline
from nplconf.cli.main import main
deadline.SECONDS = 1.0
sys.exit(main())
"""


def at_once(node: Site, *arguments: str) -> list[tuple[int, int]]:
    """Five runs that begin together: the exit code and the number of changes of each."""
    argv = node._inside(sys.executable, "-m", "nplconf", "apply", "-o", "json", *arguments)
    runs = [
        subprocess.Popen(argv, env=node._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    found = []
    for run in runs:
        out, output = run.communicate(timeout=60)
        assert output == ""
        found.append((run.returncode, json.loads(out)["summary"]["changed"]))
    return sorted(found)


def without_write_back(node: Site) -> list[str]:
    options = list(node._options())
    at = options.index("--write-back")
    return options[:at] + options[at + 2 :]


@pytest.mark.parametrize("writes", [True, False], ids=["with write-back", "without"])
def test_one_does_the_work_and_the_others_find_it_done(node: Site, *, writes: bool) -> None:
    for i in (1, 2, 3):
        node.serve_pod(f"web-{i}", f"10.244.3.{20 + i}")

    found = at_once(node, *(node._options() if writes else without_write_back(node)))

    # the new file lacks the annotation of web-0: a repair where it is written, and nothing where it is only reported
    assert found == [(0, 0)] * 4 + [(0, 4 if writes else 3)]
    assert len([line for line in node.ours() if "--to-destination" in line]) == 4
    for i in (1, 2, 3):
        answer = node.ask("client", "10.10.10.10", node.number(f"web-{i}"))
        assert answer == Answer(f"web-{i}", 8080, "10.10.10.77")
    assert sum(text is not None for text in annotations(node.cluster).values()) == (4 if writes else 0)


def test_a_run_that_waits_too_long_for_another_changes_nothing_and_reports_busy(node: Site) -> None:
    node.serve_pod("web-1", "10.244.3.21")
    rules, published = node.ours(), annotations(node.cluster)
    argv = node._inside(sys.executable, "-c", IMPATIENT, "apply", *node._options())
    other = os.open(node.directory / "state", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = subprocess.run(argv, env=node._environment(), capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(other)

    assert (done.returncode, done.stdout) == (75, "")
    assert "another run holds the lock" in done.stderr
    assert str(node.directory / "state") in done.stderr
    assert (node.ours(), annotations(node.cluster)) == (rules, published)
    assert node.apply().counts == (0, 2, 0)


def test_read_only_commands_do_not_wait_for_the_lock(node: Site) -> None:
    other = os.open(node.directory / "state", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        for command in ("plan", "verify", "show"):
            assert node.json(command).code == 0
    finally:
        os.close(other)
