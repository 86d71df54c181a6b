"""Watch mode as a service on a booted machine: start, end, watchdog, and switching to and from the timer."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from booted import JOB, PORTS, SAME_BOOT, TIMER, WATCH, Booted, booted, objects
from echo import Answer

pytestmark = pytest.mark.systemd


@pytest.fixture
def node() -> Iterator[Booted]:
    """A machine in watch mode, with its mappings."""
    with booted("resync: 5\n") as made:
        made.machine.write(f"/etc/systemd/system/{WATCH}.d/99-test.conf", SAME_BOOT)
        switch(made, "watch")
        made.machine.wait_until(lambda: len(made.numbers()) == len(PORTS), "all mappings published")
        yield made


def switch(node: Booted, *mode: str) -> str:
    """`install-units --now` with this mode; the last line that it prints."""
    node.machine.write("/etc/nplconf/config.yaml", node.config)
    node.machine.write(f"/etc/systemd/system/{JOB}.d/99-test.conf", SAME_BOOT)
    words = ("--mode", *mode) if mode else ()
    return node.nplconf("install-units", "--now", *words).stdout.splitlines()[-1]


def active(node: Booted, unit: str) -> bool:
    return node.machine.state(unit)["ActiveState"] == "active"


def shown(node: Booted, name: str) -> str:
    return node.machine.run("systemctl", "show", WATCH, f"--property={name}", "--value").stdout.strip()


def test_the_service_becomes_ready_reports_its_status_and_doctor_has_no_fault(node: Booted) -> None:
    assert active(node, WATCH)
    assert not active(node, TIMER)
    assert shown(node, "StatusText") == "2 mappings in place, last exit code 0"
    assert node.doctor() == {}


def test_a_cluster_that_changes_is_applied_and_a_flushed_rule_is_back_within_a_second(node: Booted) -> None:
    node.write(objects()[0])
    node.machine.wait_until(lambda: node.rules() == [], "no rule any more")
    node.write(*objects())
    node.machine.wait_until(lambda: len(node.numbers()) == len(PORTS), "all mappings published")
    number = node.numbers()[8080]
    time.sleep(0.6)
    node.machine.run("iptables-nft", "-t", "nat", "-F")
    began = time.monotonic()
    while not isinstance(node.ask(number, patience=0.3), Answer):
        assert time.monotonic() - began < 1.0
    assert time.monotonic() - began < 1.0


def test_stopping_takes_less_than_a_second_and_leaves_the_rules(node: Booted) -> None:
    before = node.rules()
    began = time.monotonic()
    node.machine.run("systemctl", "stop", WATCH)
    assert time.monotonic() - began < 1.5, "systemctl itself takes some of it"
    assert node.machine.state(WATCH)["Result"] == "success"
    assert node.rules() == before
    assert isinstance(node.ask(node.numbers()[8080]), Answer)


def test_a_service_that_hangs_is_restarted_by_the_watchdog(node: Booted) -> None:
    node.machine.write(f"/etc/systemd/system/{WATCH}.d/98-soon.conf", "[Service]\nWatchdogSec=7s\nRestartSec=100ms\n")
    node.machine.run("systemctl", "daemon-reload")
    node.machine.run("systemctl", "restart", WATCH)
    pid = node.machine.state(WATCH)["MainPID"]
    time.sleep(9)
    assert node.machine.state(WATCH)["MainPID"] == pid, "it gives signs of life while it waits"
    node.machine.run("kill", "-STOP", pid)
    node.machine.wait_until(lambda: node.machine.state(WATCH)["MainPID"] not in (pid, "0"), "another process", 20)
    node.machine.wait_until(lambda: active(node, WATCH), "a run of it")
    assert len(node.rules()) == len(PORTS)


def test_a_switch_of_modes_and_back_costs_no_connection_and_no_number(node: Booted) -> None:
    numbers = node.numbers()
    refused: list[object] = []
    over = threading.Event()

    def client() -> None:
        while not over.wait(0.01):
            answer = node.ask(numbers[8080])
            if not isinstance(answer, Answer):
                refused.append(answer)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        assert switch(node, "timer").startswith(f"Units are up to date; {TIMER} is enabled and running")
        assert (active(node, TIMER), active(node, WATCH)) == (True, False)
        assert node.machine.state(WATCH)["UnitFileState"] == "disabled"
        node.run_job()
        assert node.doctor() == {}
        assert switch(node, "watch") == f"Units are up to date; {WATCH} is enabled and running"
        assert (active(node, TIMER), active(node, WATCH)) == (False, True)
        assert switch(node) == f"Units are up to date; {WATCH} is enabled and running", "the mode that is enabled"
    finally:
        over.set()
        thread.join()
    assert refused == []
    assert node.numbers() == numbers


def test_starting_one_mode_stops_the_other(node: Booted) -> None:
    node.machine.run("systemctl", "start", TIMER)
    assert (active(node, TIMER), active(node, WATCH)) == (True, False)
    node.machine.run("systemctl", "start", WATCH)
    assert (active(node, TIMER), active(node, WATCH)) == (False, True)


def test_a_run_by_hand_and_one_of_the_firewall_work_beside_it(node: Booted) -> None:
    assert node.nplconf("apply").returncode == 0
    node.machine.run("systemctl", "start", "nplconf-refresh.service")
    assert active(node, WATCH)
    assert node.nplconf("verify").returncode == 0


def test_uninstalling_leaves_nothing_of_it(node: Booted) -> None:
    assert node.nplconf("uninstall-units").returncode == 0
    assert node.rules() == []
    listed = node.machine.run("systemctl", "list-unit-files", "--no-legend", "nplconf*", check=False).stdout
    assert listed == ""


def test_without_now_the_mode_is_reported(node: Booted) -> None:
    output = node.nplconf("install-units", "--mode", "watch", "-o", "json").stdout
    assert json.loads(output)["mode"] == "watch"
