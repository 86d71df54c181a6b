"""The benchmarks run, at a size that takes a moment."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_rendering_all_nodes_prints_its_time_and_memory_and_changes_nothing_the_second_time() -> None:
    argv = [sys.executable, "tests/bench/all_nodes.py", "--nodes", "20", "--pods", "600", "--services", "600"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    size, first, again = done.stdout.splitlines()
    assert size.startswith("20 nodes, 600 Pods, 600 Services")
    assert first.startswith("first: 20 of 20 plans written")
    assert again.startswith("again: 0 of 20 plans written")
    assert all(re.search(r"[0-9.]+ s \([0-9.]+ s CPU\), peak [0-9]+ MB", line) for line in (first, again))
