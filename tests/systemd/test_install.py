"""install-units and uninstall-units on a booted machine: what they write, start, remove and keep."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from booted import CLUSTER, HOLD, JOB, SAME_BOOT, TIMER, Booted, booted, objects
from echo import Answer
from kube_binaries import say
from machine import ENVIRONMENT, NPLCONF, ROOT

from nplconf.install import units

pytestmark = pytest.mark.systemd
UNINSTALLED = "nplconf is uninstalled from worker-1. /etc/nplconf and /var/lib/nplconf are kept (remove with --purge)."
TEXTFILE = "/var/lib/node-exporter/nplconf.prom"
STARTED = ("nplconf-hold.socket", HOLD, TIMER)
ACCOUNTS = ("passwd", "group", "shadow", "gshadow")
PLACES = ("/etc", "/run", "/var/lib", "/opt", "/usr/local")

PASSING = ("/run/systemd/", "/run/log/", "/run/xtables.lock", "/var/lib/systemd/", *(f"/etc/{n}-" for n in ACCOUNTS))
"""What systemd, iptables and the accounts' own programs keep for themselves."""


@pytest.fixture
def node() -> Iterator[Booted]:
    """A machine with a configuration, where nothing is installed."""
    with booted(f"textfile: {TEXTFILE}\n") as made:
        made.machine.write("/var/lib/node-exporter/other.prom", "")
        made.machine.run("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=8080")
        yield made


def files(node: Booted) -> dict[str, str]:
    """Every file of the places where an installation could leave something, with its size and mode."""
    find = ["find", *PLACES, "-xdev", "-not", "-type", "d", "-printf", "%p %s %m %l\\n"]
    lines = node.machine.run(*find).stdout.splitlines()
    return {line.split()[0]: line for line in lines if not line.startswith(PASSING)}


def active(node: Booted) -> list[str]:
    return [node.machine.state(unit)["ActiveState"] for unit in STARTED]


def test_without_now_it_writes_and_starts_nothing_and_twice_is_harmless(node: Booted) -> None:
    node.machine.write("/etc/nplconf/config.yaml", node.config)
    output = node.nplconf("install-units", "-o", "json").stdout
    hidden = (*units.HOMES, *units.PRIVATE)
    reached = any(place.is_relative_to(d) for place in (Path(sys.executable).resolve(), ROOT) for d in hidden)
    assert set(json.loads(output)["changed"]) == set(units.PATHS) - (set() if reached else {units.HOLD_REACH})
    assert active(node) == ["inactive"] * 3
    assert [node.machine.state(unit)["UnitFileState"] for unit in STARTED] == ["disabled"] * 3
    job = node.machine.path(f"/etc/systemd/system/{JOB}").read_text()
    called = " ".join(NPLCONF).replace(" PYTHONDONTWRITEBYTECODE=1", "").replace(" -m ", " -P -s -m ")
    assert f"ExecStart={called} apply --quiet\n" in job
    before = files(node)
    assert json.loads(node.nplconf("install-units", "-o", "json").stdout)["changed"] == []
    assert files(node) == before


def test_with_now_everything_starts_and_a_second_time_changes_nothing(node: Booted) -> None:
    numbers = node.install()
    assert len(numbers) == 2
    assert active(node) == ["active"] * 3
    assert [node.machine.state(unit)["UnitFileState"] for unit in STARTED] == ["enabled"] * 3
    assert node.doctor() == {}
    assert node.machine.path(TEXTFILE).stat().st_mode & 0o777 == 0o644
    before, pid = files(node), node.machine.state(HOLD)["MainPID"]
    node.nplconf("install-units", "--now")
    assert set(files(node)) == set(before)
    assert node.machine.state(HOLD)["MainPID"] != pid, "what runs is what is installed"
    assert node.numbers() == numbers
    assert node.doctor() == {}


def test_state_and_socket_elsewhere_are_made_moved_to_and_taken_away(node: Booted) -> None:
    before = files(node)
    numbers = node.install()
    node.config += "stateDir: /srv/own/state\nholdSocket: /run/own/hold.sock\npolicy: /tmp/policy.yaml\n"
    node.machine.write("/tmp/policy.yaml", "apiVersion: nplconf.io/v1alpha1\nkind: Policy\nspec: {}\n")
    assert node.install() == numbers
    assert any("2002 sockets were kept" in output for output in node.journal_of(HOLD))
    assert node.doctor() == {}
    assert node.machine.run("stat", "-c", "%a", "/run/own/hold.sock").stdout == "600\n"
    node.nplconf("uninstall-units", "--purge")
    assert {path for path, line in files(node).items() if line != before.get(path)} <= {CLUSTER}
    assert not any(node.machine.path(place).exists() for place in ("/srv/own/state", "/var/lib/nplconf", "/run/own"))


def test_uninstall_leaves_nothing_and_a_later_install_brings_the_numbers_back(node: Booted) -> None:
    before = files(node)
    numbers = node.install()
    node.machine.write("/etc/systemd/system/nplconf.timer.d/own.conf", "[Timer]\nOnUnitInactiveSec=20s\n")
    node.machine.run("systemctl", "daemon-reload")
    done = node.nplconf("uninstall-units")
    assert done.stdout.splitlines()[-1] == UNINSTALLED
    left = {path: line for path, line in files(node).items() if line != before.get(path)}
    assert set(left) == {
        CLUSTER,
        "/etc/nplconf/config.yaml",
        "/var/lib/nplconf/state.json",
        "/var/lib/nplconf/last-success.json",
        "/var/lib/nplconf/counters.json",
    }
    assert set(before) <= set(files(node))
    assert nothing_runs(node)
    assert node.machine.run("sysctl", "-n", "net.ipv4.ip_local_reserved_ports").stdout == "8080\n"

    assert node.nplconf("uninstall-units").returncode == 0, "twice is harmless"
    assert node.install() == numbers


def nothing_runs(node: Booted) -> bool:
    """No rule, no entry in an annotation, no held number, no unit, no user."""
    run = node.machine.run
    assert "NPLCONF" not in run("iptables-nft-save").stdout + run("ip6tables-nft-save").stdout
    assert '"nodePort":' not in node.machine.path(CLUSTER).read_text()
    assert node.numbers() == {}
    assert run("systemctl", "list-units", "--all", "--plain", "--no-legend", "nplconf*").stdout == ""
    assert run("systemctl", "list-unit-files", "--no-legend", "nplconf*", check=False).stdout == ""
    assert run("getent", "passwd", "nplconf-hold", check=False).stdout == ""
    assert run("/usr/bin/python3", "-c", "import socket; socket.socket().bind(('', 61000))").returncode == 0
    return not node.machine.path("/run/nplconf").exists()


def test_purge_removes_everything(node: Booted) -> None:
    before = files(node)
    node.install()
    node.nplconf("uninstall-units", "--purge")
    assert {path for path, line in files(node).items() if line != before.get(path)} <= {CLUSTER}
    assert not node.machine.path("/etc/nplconf").exists()
    assert not node.machine.path("/var/lib/nplconf").exists()
    assert nothing_runs(node)
    assert node.nplconf("uninstall-units", "--purge").returncode == 0, "twice is harmless"


@pytest.mark.parametrize("text", ["{", "apiVersion: v1\nkind: List\nitems: []\n"])
def test_with_a_bad_cluster_it_cleans_the_node_and_says_what_is_left(node: Booted, text: str) -> None:
    node.install()
    node.machine.write(CLUSTER, text)
    done = node.nplconf("uninstall-units", check=False)
    assert done.returncode == 5
    assert "left as they are" in done.stderr
    node.write(*objects())
    assert nothing_runs(node)


def test_on_a_bare_machine_there_is_nothing_to_uninstall(node: Booted) -> None:
    node.machine.write("/etc/nplconf/config.yaml", node.config)
    before = files(node)
    assert node.nplconf("uninstall-units").returncode == 0
    assert files(node) == before


def test_only_root_installs_and_uninstalls(node: Booted) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    called = ("/usr/bin/env", f"PYTHONPATH={ROOT}", "/usr/bin/python3", "-m", "nplconf")
    for command in ("install-units", "uninstall-units"):
        done = node.machine.run(*nobody, *called, command, check=False)
        assert done.returncode == 77, done.stderr


# --- as the README says ----------------------------------------------------------------------------------------------

CHECKOUT = "/root/checkout"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "tests", "*_cache")


def of_the_readme() -> list[str]:
    """The commands of its section for nodes."""
    section = (ROOT / "README.md").read_text().partition("\n## On a node\n")[2].partition("\n## ")[0]
    return [line.partition("#")[0].strip() for line in section.splitlines() if line.startswith("    ")]


def typed(node: Booted, command: str, *, online: bool = False) -> str:
    """What a command in the checkout prints, run by a root with a careful umask. online: in the host's network."""
    spaces = ("--mount", "--pid") if online else ("--all",)
    enter = ("nsenter", f"--target={node.machine.pid}", *spaces, "--root", "--wd")
    done = subprocess.run(
        [*enter, "sh", "-ec", f"umask 077; cd {CHECKOUT}; {command}"],
        env=dict(os.environ) | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
    return done.stdout


def test_the_readme_followed_to_the_letter_makes_a_node_that_works_and_takes_it_away(node: Booted) -> None:
    before = files(node)
    shutil.copytree(ROOT, node.machine.path(CHECKOUT), ignore=LEFT_OUT)
    node.machine.write(f"/etc/systemd/system/{JOB}.d/99-test.conf", SAME_BOOT)
    install, configure, *rest = of_the_readme()
    assert install == "make install"
    began = time.monotonic()
    typed(node, install, online=True)
    assert active(node) == ["inactive"] * 3
    typed(node, configure)
    node.machine.write(
        "/etc/nplconf/config.yaml", node.config + node.machine.path("/etc/nplconf/config.yaml").read_text()
    )
    for command in rest:
        typed(node, command)
    numbers = node.converge()
    assert isinstance(node.ask(numbers[8080]), Answer)
    say(f"from `make install` to a published Pod: {time.monotonic() - began:.1f} s")
    reported = node.machine.run("nplconf", "doctor", "-o", "json", check=False).stdout
    assert [check for check in json.loads(reported)["checks"] if check["status"] != "ok"] == []
    output = typed(node, "make uninstall")
    assert "kept: /etc/nplconf (to remove it: rm -r /etc/nplconf)\nkept: /var/lib/nplconf (" in output
    left = {path for path, line in files(node).items() if line != before.get(path)}
    assert left == {
        CLUSTER,
        "/etc/nplconf/config.yaml",
        *(f"/var/lib/nplconf/{n}.json" for n in ("state", "last-success", "counters")),
    }
    assert nothing_runs(node)
