"""The machine that the systemd tests boot: it is a real one, and nothing of it stays on the host."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine

pytestmark = pytest.mark.systemd

ENABLED = "[Install]\nWantedBy=multi-user.target\n"
HELLO = f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo hello\n{ENABLED}"
STOPPING = f"[Service]\nExecStart=/bin/sleep infinity\nExecStopPost=/bin/touch /var/stopped\n{ENABLED}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as booted:
        yield booted


def on_the_host() -> tuple[str, set[str], list[str]]:
    """What a machine could leave behind: mounts, cgroups, namespaces held by a name, directories."""
    cgroups = {str(p) for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") for p in Path(top).glob("machine-*")}
    return Path("/proc/self/mountinfo").read_text(), cgroups, sorted(str(p) for p in Path("/tmp").glob("machine-*"))


def test_it_boots_and_a_unit_starts(machine: Machine) -> None:
    machine.write("/etc/systemd/system/hello.service", HELLO)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "--now", "hello.service")
    assert machine.state("hello.service")["ActiveState"] == "active"
    assert "hello" in [record["MESSAGE"] for record in machine.journal("-u", "hello.service")]


def test_its_network_processes_and_sysctls_are_its_own(machine: Machine) -> None:
    key = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
    before = key.read_text()
    machine.run("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=4242")
    assert key.read_text() == before
    assert machine.run("sysctl", "-qw", "kernel.panic=7", check=False).returncode != 0
    assert machine.run("cat", "/proc/1/comm").stdout == "systemd\n"
    assert machine.run("ip", "-o", "link").stdout.count("\n") == 1


def test_a_reboot_keeps_the_disk_and_changes_the_boot_id(machine: Machine) -> None:
    machine.write("/etc/systemd/system/hello.service", HELLO)
    machine.run("systemctl", "enable", "hello.service")
    machine.write("/run/forgotten", "")
    before = machine.run("cat", "/proc/sys/kernel/random/boot_id").stdout
    machine.reboot()
    assert machine.run("cat", "/proc/sys/kernel/random/boot_id").stdout != before
    assert machine.state("hello.service")["ActiveState"] == "active"
    assert not machine.path("/run/forgotten").exists()


def test_a_clean_shutdown_stops_units_and_a_power_cut_does_not(machine: Machine) -> None:
    machine.write("/etc/systemd/system/stopping.service", STOPPING)
    machine.run("systemctl", "enable", "--now", "stopping.service")
    machine.power_cut()
    machine.boot()
    assert not machine.path("/var/stopped").exists()
    machine.reboot()
    assert machine.path("/var/stopped").exists()


def test_pid_1_can_execute_itself_anew(machine: Machine) -> None:
    pid = machine.pid
    machine.run("systemctl", "daemon-reexec")
    assert machine.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"
    assert machine.pid == pid


def test_nothing_of_it_is_left_on_the_host() -> None:
    before = on_the_host()
    with Machine() as machine:
        pid = machine.pid
        assert on_the_host() != before, "the looking finds what a machine makes"
    assert on_the_host() == before
    assert not Path(f"/proc/{pid}").exists()


def test_it_boots_in_seconds() -> None:
    start = time.monotonic()
    with Machine():
        pass
    seconds = time.monotonic() - start
    assert seconds < 10 * (os.getloadavg()[0] + 1), seconds
