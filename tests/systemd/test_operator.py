"""An operator's tasks: install, request a mapping, break the node by hand, read the journal, fix it."""

import json

import pytest
from booted import JOB, NODE_IP, TIMER, Booted, booted, objects
from echo import Answer

from nplconf.model import ENABLED

pytestmark = pytest.mark.systemd


def explained(node: Booted, what: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(node.nplconf("explain", what, "-o", "json").stdout)
    return found


def summary(node: Booted, *command: str) -> tuple[int, str]:
    done = node.nplconf(*command, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


def broken_by_hand(node: Booted) -> None:
    """The rules of TCP are flushed, as by an administrator who cleans up."""
    node.machine.run("iptables", "-t", "nat", "-F", "NPLCONF-TCP")


def test_from_installing_to_a_fixed_node() -> None:
    with booted() as node:
        pod, first, second = objects()
        del first["metadata"]["annotations"][ENABLED]
        second["metadata"]["annotations"][ENABLED] = "True"
        node.write(pod, first, second)

        # install
        assert node.install() == {}
        assert (
            "Units are up to date; nplconf.timer is enabled and running"
            in node.nplconf("install-units", "--now").stdout
        )
        node.machine.run("systemctl", "stop", TIMER)

        # ask for a mapping
        silent = explained(node, "service/shop/s8080")
        assert str(silent["answer"]).endswith(f'it has no annotation {ENABLED}: "true"')
        assert silent["fix"] == [f"kubectl annotate service -n shop s8080 {ENABLED}=true --overwrite"]
        assert f'{ENABLED}: "True", which is not exactly "true"' in explained(node, "svc/shop/s9090")["answer"]
        node.write(*objects())
        assert node.run_job() == "success"
        number = node.numbers()[8080]
        assert isinstance(node.ask(number), Answer), f"http://{NODE_IP}:{number}"
        assert any(f"tcp/{number}" in line and "add" in line for line in node.journal_of(JOB))
        assert summary(node, "plan", "--detailed-exitcode")[0] == 0

        # break it, and see what plan and the journal say
        broken_by_hand(node)
        assert not isinstance(node.ask(number), Answer)
        code, line = summary(node, "plan", "--detailed-exitcode")
        assert code == 2
        assert "2 to repair" in line
        before = len(node.journal_of(JOB))
        assert node.run_job() == "success"
        repaired = [line for line in node.journal_of(JOB)[before:] if "repair" in line]
        assert len(repaired) == 2, node.journal_of(JOB)
        assert any(f"tcp/{number}" in line for line in repaired)
        assert isinstance(node.ask(number), Answer)
        assert summary(node, "verify")[0] == 0

        # break something that a run does not repair, and do what doctor says
        node.machine.run("systemctl", "stop", "nplconf-hold.socket", "nplconf-hold.service")
        found = node.doctor()["hold"]
        assert found["status"] == "fail"
        node.machine.run("sh", "-ec", found["fix"])
        node.machine.run("systemctl", "start", TIMER)
        assert node.run_job() == "success"
        assert {name: check for name, check in node.doctor().items() if check["status"] == "fail"} == {}
        assert isinstance(node.ask(number), Answer)
