"""The benchmark itself, at a small size: its output, not its speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.figures import Figure, text

NFTABLES = ("nftables", "nftables, three mappings")
TESTS = Path(__file__).parent.parent


@pytest.mark.kernel
@pytest.mark.api
@pytest.mark.timeout(600)
def test_one_command_prints_every_figure_beside_what_it_is_compared_with_and_leaves_them_as_json(
    tmp_path: Path,
) -> None:
    found = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--scale", "100", "--runs", "1", "--json", str(found)]

    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False, timeout=570)

    assert done.returncode == 0, done.stderr
    figures = json.loads(found.read_text())["figures"]
    measured = {f"{f['group'].split(',')[0]}: {f['what']}" for f in figures}
    for what in ("p50", "p99", "connections"):
        row = next(f for f in figures if f["what"] == what)
        assert set(row["beside"]) == {"three mappings", "linear chain", "nft map", *NFTABLES}
    for what in ("from nothing", "one change", "no change"):
        assert {f"apply: {what}: {of}" for of in ("whole process", "processor", "peak memory")} <= measured
    assert {f"apply: no change: {of}" for of in ("whole process", "from the server")} <= measured
    assert {f"render: {what}" for what in ("whole process", "processor", "peak memory")} <= measured
    assert {"hold: start to answer", "hold: memory (VmHWM)"} <= measured
    assert {f"render --all-nodes: {when}: peak memory" for when in ("into nothing", "again")} <= measured
    assert {f"watch: address to annotation {of}" for of in ("p50", "p99")} <= measured
    assert {"watch: last annotation", "watch: faults at the end"} <= measured
    assert all(f["value"] > 0 or f["unit"] == "%" or f["aim"] == 0 for f in figures)
    assert all(f["met"] for f in figures if f["aim"] == 0), done.stderr
    for figure in figures:
        assert figure["what"] in done.stdout


def test_a_figure_says_whether_its_aim_is_met() -> None:
    rows = text([Figure("g", "a", 0.5, "s", 0.6), Figure("g", "b", 0.7, "s", 0.6), Figure("g", "c", 1, "s")])

    assert [line.split()[-1] for line in rows.splitlines()[2:]] == ["met", "MISSED", "s"]
