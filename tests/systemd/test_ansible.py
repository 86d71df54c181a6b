"""The Ansible role against a booted machine: what --check and --diff show, and what `changed` reports."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from booted import CLUSTER, JOB, PORTS, SAME_BOOT, TIMER, Booted, booted
from echo import Answer
from machine import NPLCONF, ROOT

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(600)]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
VARS: dict[str, Any] = {
    "nplconf_config": {"node": "worker-1", "clusterState": [CLUSTER], "writeBack": CLUSTER},
    "ansible_python_interpreter": sys.executable,
    "ansible_become": False,
}


@pytest.fixture
def node() -> Iterator[Booted]:
    """A machine with the command nplconf and no unit."""
    with booted() as made:
        made.machine.write("/usr/local/bin/nplconf", f'#!/bin/sh\nexec {shlex.join(NPLCONF)} "$@"\n', 0o755)
        made.machine.write(f"/etc/systemd/system/{JOB}.d/99-test.conf", SAME_BOOT)
        yield made


def play(node: Booted, *words: str, check: bool = True, **variables: object) -> tuple[dict[str, dict[str, Any]], int]:
    """Task -> its result, and the exit code."""
    node.machine.write("/var/vars.yml", yaml.safe_dump(VARS | variables))
    done = node.machine.run(
        *(
            "env",
            "ANSIBLE_STDOUT_CALLBACK=ansible.builtin.default",
            "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
            "LC_ALL=C.UTF-8",
        ),
        *("ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCAL_TEMP=/var/ansible", "ANSIBLE_REMOTE_TEMP=/var/ansible"),
        *(str(PLAYBOOK), "-c", "local", "-i", "worker-1,", "-e", "@/var/vars.yml", "-v", *words),
        str(ROOT / "examples/ansible/site.yml"),
        check=check,
        timeout=300,
    )
    return tasks(done.stdout), done.returncode


def tasks(text: str) -> dict[str, dict[str, Any]]:
    """The results of the tasks, as the default callback prints them with -v."""
    found = {}
    for part in text.split("\nTASK [nplconf : ")[1:]:
        name, _, rest = part.partition("]")
        state = next((word for word in ("fatal", "changed", "skipping", "ok") if f"\n{word}: " in rest), "")
        at = rest.find("=> {")
        result = json.JSONDecoder().raw_decode(rest, at + 3)[0] if at >= 0 and state != "skipping" else {}
        found[name] = result | {"state": state, "text": rest}
    return found


def changed(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, result in found.items() if result["state"] == "changed"]


def test_check_and_diff_show_the_plan_and_change_nothing_then_it_is_applied_once(node: Booted) -> None:
    without_hold = VARS["nplconf_config"] | {"noHold": True}
    node.machine.write("/etc/nplconf/config.yaml", yaml.safe_dump(without_hold))
    found, _ = play(node, "--check", "--diff", nplconf_mode="none", nplconf_config=without_hold)
    assert found["Apply"]["changed"] is True
    assert "Plan: 2 to add, 0 to change, 0 to delete, 0 unchanged." in found["Apply"]["text"]
    assert node.rules() == []
    assert node.numbers() == {}

    found, _ = play(node, "--diff")
    assert {"Write the units", "Enable and start the hold daemon", "Apply"} <= set(changed(found))
    assert "Plan: 2 to add" in found["Apply"]["text"]
    numbers = node.numbers()
    assert set(numbers) == set(PORTS)
    assert isinstance(node.ask(numbers[8080]), Answer)
    assert node.machine.state(TIMER)["ActiveState"] == "active"

    found, _ = play(node, "--diff")
    assert changed(found) == []
    found, _ = play(node, "--check")
    assert changed(found) == []
    assert node.numbers() == numbers


def test_a_reviewed_plan_is_applied_a_broken_one_is_not_and_a_stale_one_fails(node: Booted) -> None:
    plans = Path("/var/plans")
    node.machine.path(str(plans)).mkdir()
    node.machine.write("/etc/nplconf/config.yaml", yaml.safe_dump(VARS["nplconf_config"]))
    node.nplconf("render", "--out", str(plans / "worker-1.yaml"))
    good = node.machine.path(str(plans / "worker-1.yaml")).read_text()
    found, _ = play(node, nplconf_plans=str(plans))
    assert found["Apply"]["state"] == "changed"
    assert set(node.numbers()) == set(PORTS)

    node.machine.write(str(plans / "worker-1.yaml"), good.replace("podPort: 8080", "podPort: 0"))
    found, code = play(node, nplconf_plans=str(plans), check=False)
    assert (code, found["Copy the reviewed plan"]["state"]) == (2, "fatal")
    assert set(node.numbers()) == set(PORTS)

    node.machine.write(str(plans / "worker-1.yaml"), good)
    node.write()
    found, code = play(
        node, nplconf_plans=str(plans), check=False, nplconf_config=VARS["nplconf_config"] | {"allowEmpty": True}
    )
    assert (code, found["Apply"]["state"], found["Apply"]["exit_code"]) == (2, "fatal", 3)
    found, code = play(
        node, nplconf_plans=str(plans), nplconf_accept=[3], nplconf_config=VARS["nplconf_config"] | {"allowEmpty": True}
    )
    assert (code, found["Apply"]["state"]) == (0, "ok")
