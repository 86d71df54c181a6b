"""The machine that the systemd tests boot is a real one, and nothing of it remains on the host."""

import os
import subprocess
import sys
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


def left_by(machine: Machine) -> list[str]:
    """What of it is on the host: mounts, cgroups, its directory, its first process."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if machine.directory.name in line]
    cgroups = [str(p) for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") for p in Path(top).glob(machine.name)]
    others = [str(path) for path in (machine.directory, Path(f"/proc/{machine.pid}")) if path.exists()]
    return [*mounts, *cgroups, *others]


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


def test_pid_1_can_reexecute_itself(machine: Machine) -> None:
    pid = machine.pid
    machine.run("systemctl", "daemon-reexec")
    assert machine.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"
    assert machine.pid == pid


def test_nothing_of_it_is_left_on_the_host() -> None:
    with Machine() as machine:
        assert not [line for line in left_by(machine) if " / " in line], "its mounts are its own while it runs, too"
        assert len(left_by(machine)) >= 2, "the looking finds a machine that runs"
    assert left_by(machine) == []


def test_a_test_run_that_is_killed_takes_its_machines_with_it() -> None:
    code = "import machine, time\nwith machine.Machine() as m: print(m.pid, m.directory, flush=True); time.sleep(60)"
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout
        pid, directory = run.stdout.readline().split()
        run.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    Path(directory, "boot.log").unlink()
    Path(directory, "disk").rmdir()
    Path(directory).rmdir()


def test_it_boots_in_seconds() -> None:
    start = time.monotonic()
    with Machine():
        pass
    seconds = time.monotonic() - start
    assert seconds < 10 * (os.getloadavg()[0] + 1), seconds
