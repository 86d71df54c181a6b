"""Faults of an installation on a booted machine: doctor names only the fault, and its fix works."""

import itertools
import json
import shlex
import sys
from collections.abc import Iterator

import pytest
from booted import HOLD, Booted, booted
from machine import NPLCONF, ROOT

pytestmark = pytest.mark.systemd
SOCKET, TIMER, JOB = "nplconf-hold.socket", "nplconf.timer", "nplconf.service"
SELDOM = "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=1h\n"
"""No run between a fault and doctor: it would repair some faults, and start a hold daemon that was stopped."""
UNITS = "/etc/systemd/system"


@pytest.fixture(scope="module")
def installed() -> Iterator[Booted]:
    with booted() as made:
        made.machine.write(f"/etc/systemd/system/{TIMER}.d/99-test.conf", SELDOM)
        made.install()
        yield made


@pytest.fixture
def node(installed: Booted) -> Booted:
    """A node on which all is well."""
    assert installed.doctor() == {}
    return installed


def sh(node: Booted, *commands: str) -> None:
    """Shell commands; `nplconf` is the one under test."""
    node.machine.run("sh", "-ec", f'nplconf() {{ {shlex.join(NPLCONF)} "$@"; }}\n' + "\n".join(commands))


BROKEN = [
    ("units", "fail", [f"systemctl stop {TIMER}"]),
    ("units", "fail", [f"systemctl disable --now {TIMER}"]),
    ("units", "fail", [f"systemctl disable {SOCKET} {HOLD} {TIMER}"]),
    ("units", "fail", [f"ln -sf /dev/null {UNITS}/{TIMER}", "systemctl daemon-reload", f"systemctl stop {TIMER}"]),
    ("units", "warn", [f"rm {UNITS}/{TIMER}", "systemctl daemon-reload"]),
    ("units", "warn", [f"echo '#' >>{UNITS}/{JOB}"]),
    ("hold", "fail", [f"systemctl stop {HOLD}"]),
    ("hold", "fail", [f"systemctl stop {SOCKET}"]),
    ("hold-store", "fail", [
        f"printf '[Service]\nFileDescriptorStoreMax=0\n' >/run/systemd/system/{HOLD}.d/none.conf",
        f"systemctl daemon-reload; systemctl stop {HOLD}; systemctl start {HOLD}",
        f"rm -r /run/systemd/system/{HOLD}.d; systemctl daemon-reload",
    ]),
    ("config", "fail", ["chmod 600 /etc/nplconf/config.yaml"]),
    ("config", "fail", ["chmod 700 /etc/nplconf"]),
    ("last-success", "warn", ["rm /var/lib/nplconf/last-success.json"]),
    ("port-range", "warn", ["sysctl -qw net.ipv4.ip_local_reserved_ports= net.ipv4.ip_local_port_range='1024 65000'"]),
]  # fmt: skip


@pytest.mark.parametrize(("check", "status", "breaking"), BROKEN)
def test_only_the_broken_part_is_named_and_its_fix_works(
    node: Booted, check: str, status: str, breaking: list[str]
) -> None:
    sh(node, f"mkdir -p /run/systemd/system/{HOLD}.d", *breaking)
    found = node.doctor()
    assert {name: c["status"] for name, c in found.items()} == {check: status}, found
    sh(node, found[check]["fix"])
    assert node.doctor() == {}


@pytest.mark.parametrize("text", ["{", "portRange: 40000-40100\n\tx", "clusterStat: [/a]\n"])
def test_a_config_file_that_cannot_be_followed_is_named_alone(node: Booted, text: str) -> None:
    kept = node.machine.path("/etc/nplconf/config.yaml").read_text()
    node.machine.write("/etc/nplconf/config.yaml", text)
    found = node.doctor()
    node.machine.write("/etc/nplconf/config.yaml", kept)
    assert list(found) == ["config"], found


def test_doctor_does_not_start_the_daemon(node: Booted) -> None:
    node.machine.run("systemctl", "stop", HOLD)
    assert list(node.doctor()) == ["hold"]
    assert node.machine.state(HOLD)["ActiveState"] == "inactive"
    node.machine.run("systemctl", "start", HOLD)


PROGRAM = f"""\
#!{sys.executable} -B
import sys
sys.path.insert(0, {str(ROOT)!r})
from nplconf.cli.main import main
sys.exit(main())
"""


def test_units_that_name_a_link_to_the_same_program_are_right(node: Booted) -> None:
    names = ("/opt/npl/bin/nplconf", "/usr/local/bin/nplconf")
    node.machine.write(names[0], PROGRAM, 0o755)
    node.machine.run("ln", "-s", *names)
    for installing, asking in itertools.permutations(names):
        node.machine.run(installing, "install-units", "--now")
        reported = json.loads(node.machine.run(asking, "doctor", "-o", "json", check=False).stdout)
        assert [check for check in reported["checks"] if check["status"] != "ok"] == []
    assert node.doctor()["units"]["status"] == "warn", "another program is another"
    node.install()
