"""A stale reviewed plan: the unit continues, and the journal has each row once."""

import json

import pytest
from booted import CLUSTER, JOB, TIMER, Booted, booted, objects

pytestmark = pytest.mark.systemd
PLANS = "/etc/nplconf/plans"
TEXTFILE = "/var/lib/node-exporter/nplconf.prom"


def metric(node: Booted, name: str) -> float:
    lines = node.machine.path(TEXTFILE).read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"nplconf_{name} "))


def stale(node: Booted) -> list[str]:
    return [message for message in node.journal_of(JOB) if "stale" in message]


def test_stale_rows_are_logged_once_and_the_run_counts_as_completed() -> None:
    with booted(f"mode: reviewed\nplanDir: {PLANS}\ntextfile: {TEXTFILE}\n") as node:
        node.machine.write("/var/lib/node-exporter/other.prom", "")
        node.write(*objects())
        node.machine.path("/etc/nplconf").mkdir(exist_ok=True)
        node.machine.path(PLANS).mkdir()
        render = ("render", "--cluster-state", CLUSTER, "--node", "worker-1", "--out", f"{PLANS}/worker-1.yaml")
        node.nplconf(*render)
        assert len(node.install()) == 2
        node.machine.run("systemctl", "stop", TIMER)
        pod, first, _second = objects()
        node.write(json.loads(json.dumps(pod)), first)
        results = [node.run_job() for _ in range(3)]
        assert results == ["success"] * 3
        assert len(stale(node)) == 1, node.journal_of(JOB)
        assert "not-selected" in stale(node)[0]
        assert "NOTIMPLEMENTED" not in "".join(node.journal_of("init.scope") + node.journal_of(JOB))
        assert metric(node, "last_run_exit_status") == 3
        assert metric(node, "stale") == 1
        assert metric(node, "last_success_timestamp_seconds") == metric(node, "last_attempt_timestamp_seconds")
        node.write(*objects())
        assert node.run_job() == "success"
        node.write(pod, first)
        node.run_job()
        assert len(stale(node)) == 2, "it is logged again when it begins again"
