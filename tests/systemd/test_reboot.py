"""A reboot or a power cut: the range is held, rules wait for a fresh snapshot, and ports stay the same."""

import json
import random
import time
from collections.abc import Iterator

import pytest
import worlds
from booted import CLUSTER, HOLD, JOB, POD_IP, TIMER, Booted, booted, objects
from echo import Answer

pytestmark = pytest.mark.systemd
DEAD = """\
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: none}}]
"""
AWAY = f"node: {worlds.NODE}\nkubeconfig: /etc/nplconf/dead.conf\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Booted]:
    with booted() as made:
        made.machine.write("/etc/nplconf/dead.conf", DEAD)
        made.install()
        yield made


def held(node: Booted) -> str:
    return node.machine.state(HOLD)["StatusText"]


def test_rules_wait_for_a_fresh_snapshot_and_the_numbers_come_back(node: Booted) -> None:
    before = node.numbers()
    node.machine.write("/etc/nplconf/config.yaml", AWAY)
    assert node.run_job(check=False) == "exit-code"
    assert len(node.rules()) == 2, "within one boot the last good plan counts"
    assert any("kept at the last good plan" in output for output in node.journal_of(JOB))

    node.machine.reboot()
    node.wire()
    assert held(node) == "2002 of 2002 sockets of 61000-62000 held"
    assert node.run_job(check=False) == "exit-code"
    assert node.rules() == [], "now its Pods may be anybody's"
    assert isinstance(node.ask(before[8080]), str)
    reported = {check: c["status"] for check, c in node.doctor().items()}
    # the units may have been written for other files than this configuration names
    assert reported.items() - {("units", "warn")} == {("last-success", "warn"), ("api-rights", "fail")}

    # the Pod has another address since
    moved = [json.loads(json.dumps(each).replace(POD_IP, "10.244.3.99")) for each in objects()]
    node.machine.write("/etc/nplconf/config.yaml", node.config)
    node.write(*moved)
    assert node.run_job() == "success"
    assert node.numbers() == before
    assert all("--to-destination 10.244.3.99:" in rule for rule in node.rules())
    node.write(*objects())
    assert node.run_job() == "success"
    assert isinstance(node.ask(before[8080]), Answer)


def test_the_timer_converges_it_by_itself(node: Booted) -> None:
    before = node.numbers()
    node.machine.reboot()
    node.wire()
    node.machine.wait_until(lambda: len(node.rules()) == 2, "the rules", 30)
    assert node.numbers() == before
    assert node.machine.state(TIMER)["ActiveState"] == "active"


def test_a_power_cut_at_any_moment_loses_no_number(node: Booted) -> None:
    before = node.numbers()
    moments = random.Random(7)
    for turn in range(4):
        # one run has a lot to do, the next takes it all away again
        node.write(*objects() if turn % 2 else ())
        node.machine.run("systemctl", "start", "--no-block", JOB)
        time.sleep(moments.uniform(0.05, 0.5))
        node.machine.power_cut()
        node.machine.boot()
        node.wire()
        assert held(node) == "2002 of 2002 sockets of 61000-62000 held"
        node.write(*objects())
        assert node.run_job() == "success"
        assert node.numbers() == before
        assert isinstance(node.ask(before[9090]), Answer)
    assert not any("damaged" in output for output in node.journal_of(JOB))
    assert node.nplconf("verify").returncode == 0
    assert node.machine.path(CLUSTER).exists()
