"""`install-units` and `uninstall-units` on a booted machine, with an nplconf where only root may enter."""

import sys
from collections.abc import Iterator

import pytest
from machine import ROOT, Machine

EXAMPLE = ROOT / "examples" / "cluster-6281.yaml"
PROGRAM = "/root/tools/bin/nplconf"
CODE = f"""\
#!{sys.executable}
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(ROOT)!r})
from nplconf.cli.main import main
sys.exit(main())
"""
CONFIG = """\
node: worker-1
clusterState: [/tmp/shared/cluster.yaml]
writeBack: /tmp/shared/cluster.yaml
coolDown: 0
"""
ADMINISTRATORS = "8080,61500"
UNINSTALLED = "nplconf is uninstalled from worker-1. /etc/nplconf and /var/lib/nplconf are kept (remove with --purge)."


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as booted:
        booted.run("ip", "address", "add", "10.10.10.10/32", "dev", "lo")
        booted.run("sysctl", "-qw", f"net.ipv4.ip_local_reserved_ports={ADMINISTRATORS}")
        booted.path("/root").chmod(0o700)
        booted.write(PROGRAM, CODE, 0o755)
        booted.write("/etc/nplconf/config.yaml", CONFIG)
        booted.write("/tmp/shared/cluster.yaml", EXAMPLE.read_text())
        yield booted


def published(machine: Machine) -> bool:
    return '"nodePort":' in machine.path("/tmp/shared/cluster.yaml").read_text()


def rules(machine: Machine) -> list[str]:
    return [line for line in machine.run("iptables-nft-save").stdout.splitlines() if "NPLCONF" in line]


def ours(machine: Machine) -> list[str]:
    """Return every file with nplconf's name, except for those that stay without --purge."""
    found = machine.run("find", "/etc", "/run", "/var/lib", "-name", "*nplconf*").stdout.split()
    return sorted(path for path in found if path not in ("/var/lib/nplconf", "/etc/nplconf"))


@pytest.mark.systemd
def test_without_now_nothing_is_started(machine: Machine) -> None:
    output = machine.run(PROGRAM, "install-units")
    assert "/etc/systemd/system/nplconf.service" in output.stdout
    assert f"ExecStart={PROGRAM} apply" in machine.path("/etc/systemd/system/nplconf.service").read_text()
    assert machine.state("nplconf-hold.service")["ActiveState"] == "inactive"
    assert machine.run("systemctl", "is-enabled", "nplconf.timer", check=False).stdout.strip() == "disabled"
    assert (
        machine.run(PROGRAM, "install-units").stdout
        == "Units are up to date; start them with: nplconf install-units --now\n"
    )


@pytest.mark.systemd
def test_with_now_the_node_converges_and_uninstalling_leaves_nothing(machine: Machine) -> None:
    before = ours(machine)
    machine.run(PROGRAM, "install-units", "--now")
    machine.wait_until(lambda: published(machine), "the example published")
    assert len([line for line in rules(machine) if "-j DNAT" in line]) == 2
    held_by = machine.state("nplconf-hold.service")["MainPID"]
    output = machine.run(PROGRAM, "install-units", "--now").stdout
    assert (
        output == "Units are up to date; nplconf.timer is enabled and running (a run starts 10s after the last one)\n"
    )
    assert machine.state("nplconf-hold.service")["ActiveState"] == "active"
    assert held_by != "0"

    left = machine.run(PROGRAM, "uninstall-units")
    assert left.stdout == f"{UNINSTALLED}\n"
    assert rules(machine) == []
    assert not published(machine)
    assert ours(machine) == before
    assert machine.run("sysctl", "-n", "net.ipv4.ip_local_reserved_ports").stdout.strip() == ADMINISTRATORS
    assert machine.run("id", "nplconf-hold", check=False).returncode != 0
    assert machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "nplconf*").stdout == ""
    assert machine.path("/var/lib/nplconf").exists()
    assert machine.run(PROGRAM, "uninstall-units", "--purge").stdout == "nplconf is uninstalled from worker-1.\n"
    assert not machine.path("/var/lib/nplconf").exists()
    assert not machine.path("/etc/nplconf").exists()


@pytest.mark.systemd
def test_a_later_install_brings_the_same_numbers_back(machine: Machine) -> None:
    machine.run(PROGRAM, "install-units", "--now")
    machine.wait_until(lambda: published(machine), "the example published")
    first = machine.run(PROGRAM, "show", "-o", "json").stdout
    machine.run(PROGRAM, "uninstall-units")
    machine.run(PROGRAM, "install-units", "--now")
    machine.wait_until(lambda: published(machine), "the example published again")
    assert machine.run(PROGRAM, "show", "-o", "json").stdout == first


@pytest.mark.systemd
def test_what_could_not_be_cleaned_is_reported_and_the_rest_is_gone(machine: Machine) -> None:
    before = ours(machine)
    machine.run(PROGRAM, "install-units", "--now")
    machine.wait_until(lambda: published(machine), "the example published")
    machine.write("/tmp/shared/cluster.yaml", "{")
    output = machine.run(PROGRAM, "uninstall-units", check=False)
    assert output.returncode == 5, output.stderr
    assert "annotation" in output.stderr
    assert rules(machine) == []
    assert ours(machine) == before
