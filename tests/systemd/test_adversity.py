"""A full disk, a damaged state file, a child that hangs: the node is brought in order all the same."""

from collections.abc import Iterator

import pytest
from booted import JOB, Booted, booted
from echo import Answer

pytestmark = pytest.mark.systemd
STATE = "/var/lib/nplconf"


@pytest.fixture(scope="module")
def node() -> Iterator[Booted]:
    with booted() as made:
        made.install()
        made.machine.run("systemctl", "stop", "nplconf.timer")
        yield made


@pytest.fixture(autouse=True)
def _numbers_stay(node: Booted) -> Iterator[None]:
    """Whatever happens to it, the node has the same numbers afterwards, and they lead to the Pod."""
    before = node.numbers()
    yield
    assert node.run_job() == "success"
    assert node.numbers() == before
    assert isinstance(node.ask(before[8080]), Answer)


@pytest.fixture
def small(node: Booted) -> Iterator[Booted]:
    """The state directory is a disk of its own, a small one."""
    kept = node.machine.run("cat", f"{STATE}/state.json").stdout
    node.machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "small", STATE)
    node.machine.write(f"{STATE}/state.json", kept, 0o600)
    yield node
    node.machine.run("umount", STATE)


def flush(node: Booted) -> None:
    node.machine.run("iptables-nft", "-t", "nat", "-F")


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1, "crc32": 1}\n{}\n', "\0" * 100])
def test_a_damaged_state_file_is_reported_and_rebuilt(node: Booted, damage: str) -> None:
    node.machine.write(f"{STATE}/state.json", damage, 0o600)
    flush(node)
    assert node.run_job() == "success"
    assert any("damaged" in output and "state.json" in output for output in node.journal_of(JOB))
    assert len(node.rules()) == 2


def test_a_full_disk_is_reported_and_the_node_is_in_order(small: Booted) -> None:
    small.machine.run("sh", "-c", f"rm {STATE}/state.json; cat /dev/zero >{STATE}/fill || true", check=False)
    flush(small)
    assert small.run_job(check=False) == "exit-code"
    assert small.machine.state(JOB)["ExecMainStatus"] == "5"
    assert any("No space left on device" in output for output in small.journal_of(JOB))
    assert len(small.rules()) == 2


def test_a_read_only_disk_is_reported_and_the_node_is_in_order(small: Booted) -> None:
    small.machine.run("rm", f"{STATE}/state.json")
    small.machine.run("mount", "-o", "remount,ro", STATE)
    flush(small)
    assert small.run_job(check=False) == "exit-code"
    assert small.machine.state(JOB)["ExecMainStatus"] == "5"
    assert any("Read-only file system" in output for output in small.journal_of(JOB))
    assert len(small.rules()) == 2


def test_where_systemd_could_not_change_the_directory_a_run_brings_the_node_in_order(node: Booted) -> None:
    node.machine.run("mount", "-t", "tmpfs", "-o", "ro,mode=0755", "closed", STATE)
    flush(node)
    node.run_job(check=False)
    node.machine.run("umount", STATE)
    assert node.machine.state(JOB)["ExecMainStatus"] == "5"
    assert len(node.rules()) == 2


def test_a_file_in_place_of_the_state_directory_is_reported_by_the_run(node: Booted) -> None:
    node.machine.run("mv", STATE, f"{STATE}.kept")
    node.machine.run("touch", STATE)
    node.run_job(check=False)
    node.machine.run("rm", STATE)
    node.machine.run("mv", f"{STATE}.kept", STATE)
    assert node.machine.state(JOB)["ExecMainStatus"] == "77"
    assert any("the state directory cannot be made" in output for output in node.journal_of(JOB))


def test_a_state_directory_that_was_removed_is_made_again(node: Booted) -> None:
    node.machine.run("rm", "-r", STATE)
    assert node.run_job() == "success"
    assert node.machine.run("stat", "--format=%a", STATE).stdout == "700\n"


def test_a_hanging_iptables_is_ended_in_time_with_no_process_left(node: Booted) -> None:
    limit = f"/etc/systemd/system/{JOB}.d/98-soon.conf"
    program = "/usr/sbin/xtables-nft-multi"
    node.machine.write(limit, "[Service]\nTimeoutStartSec=3s\n")
    node.machine.run("systemctl", "daemon-reload")
    node.machine.run("mv", program, f"{program}.away")
    node.machine.write(program, "#!/bin/sh\nsetsid sleep 4242 & exec sleep 4242\n", 0o755)
    try:
        assert node.run_job(check=False) == "timeout"
        assert node.machine.run("pgrep", "-f", "sleep 4242", check=False).stdout == ""
    finally:
        node.machine.run("mv", f"{program}.away", program)
        node.machine.path(limit).unlink()
        node.machine.run("systemctl", "daemon-reload")


def test_a_signal_stops_it_with_a_message(node: Booted) -> None:
    program = "/usr/sbin/xtables-nft-multi"
    node.machine.run("cp", program, f"{program}.real")
    slow = f'#!/bin/bash\nsleep 0.3; exec -a "${{0##*/}}" {program}.real "$@"\n'
    node.machine.run("mv", program, f"{program}.away")
    node.machine.write(program, slow, 0o755)
    flush(node)
    try:
        node.machine.run("systemctl", "start", "--no-block", JOB)
        node.machine.wait_until(lambda: node.machine.state(JOB)["ActiveState"] == "activating", "the run")
        node.machine.run("sleep", "0.8")
        node.machine.run("systemctl", "stop", JOB)
        assert any("asked to end" in output for output in node.journal_of(JOB)), node.journal_of(JOB)
    finally:
        node.machine.run("mv", f"{program}.away", program)
