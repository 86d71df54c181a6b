"""Programs that replace all rules of the node: how long clients get no answer afterwards."""

import functools
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from booted import JOB, PORTS, TIMER, Booted, booted, objects
from echo import Answer

pytestmark = pytest.mark.systemd
LONGEST = 5.0
"""Seconds. The timer's next run alone takes 10 s and more; a firewalld that starts needs one or two itself."""
QUIET = 1.5
"""Seconds of answers that end an outage."""
CAUSES = [
    ("nftables.service starts", ("systemctl", "start", "nftables.service")),
    ("nftables.service reloads", ("systemctl", "reload", "nftables.service")),
    ("nftables.service restarts", ("systemctl", "restart", "nftables.service")),
    ("nftables.service stops", ("systemctl", "stop", "nftables.service")),
    ("firewalld starts", ("systemctl", "start", "firewalld.service")),
    ("firewalld reloads", ("systemctl", "reload", "firewalld.service")),
    ("firewall-cmd reloads", ("firewall-cmd", "--reload")),
    ("firewalld restarts", ("systemctl", "restart", "firewalld.service")),
    ("ufw starts", ("ufw", "--force", "enable")),
    ("ufw reloads", ("ufw", "reload")),
    ("ufw stops", ("ufw", "disable")),
    ("firewalld stops", ("systemctl", "stop", "firewalld.service")),
]
PERMISSIVE = "table inet filter {\n}\n"
FLUSH = "#!/usr/sbin/nft -f\nflush ruleset\n" + PERMISSIVE
DBUS = "dbus.socket"


@pytest.fixture(scope="module", params=["iptables-nft", "nftables"])
def node(request: pytest.FixtureRequest) -> Iterator[Booted]:
    """A node with mappings whose timer's next run is a minute away, and both firewalls of Debian stopped."""
    assert shutil.which("firewalld"), "apt-get install firewalld"
    with booted(f"backend: {request.param}\n") as made:
        made.write(*objects())
        made.machine.write("/etc/nftables.conf", FLUSH, 0o755)
        made.machine.run(
            "sed", "-i", 's/^DEFAULT_FORWARD_POLICY=.*/DEFAULT_FORWARD_POLICY="ACCEPT"/', "/etc/default/ufw"
        )
        made.machine.write(f"/etc/systemd/system/{TIMER}.d/99-test.conf", "[Timer]\nOnUnitInactiveSec=60s\n")
        made.machine.run("systemctl", "start", DBUS)
        made.install()
        yield made


def outage(node: Booted, cause: Callable[[], object]) -> float:
    """Return the seconds between the last answer before and the first of a second full of answers after a cause."""
    number = node.numbers()[8080]
    node.machine.wait_until(lambda: isinstance(node.ask(number), Answer), "an answer before")
    caused = threading.Thread(target=cause)
    caused.start()
    end, answered, longest = time.monotonic() + 60, time.monotonic(), 0.0
    good_since: float | None = answered
    while caused.is_alive() or good_since is None or time.monotonic() - good_since < QUIET:
        assert time.monotonic() < end, "no answer any more"
        if isinstance(node.ask(number, patience=0.3), Answer):
            now = time.monotonic()
            longest, answered = max(longest, now - answered), now
            good_since = good_since or now
        else:
            good_since = None
        time.sleep(0.02)
    caused.join()
    return longest


def start_firewalld(node: Booted) -> None:
    """Have firewalld run and answer. On a busy machine it was found ended after a reload by signal."""
    node.machine.run("systemctl", "start", "firewalld.service")
    node.machine.wait_until(
        lambda: node.machine.run("firewall-cmd", "--state", check=False).returncode == 0, "firewalld"
    )
    node.machine.wait_until(lambda: len(node.rules()) == len(PORTS), "both rules beside firewalld")


def test_a_run_follows(node: Booted) -> None:
    """Each way in which a firewall of Debian replaces all rules; the outage of each is printed."""
    outages = {}
    for what, command in CAUSES:
        if command[0] == "firewall-cmd":
            start_firewalld(node)
        outages[what] = round(outage(node, functools.partial(node.machine.run, *command)), 1)
        node.machine.wait_until(lambda: len(node.rules()) == len(PORTS), f"both rules again after {what}")
    sys.stdout.write("".join(f"{what}: no answer for {seconds} s\n" for what, seconds in outages.items()))
    assert {what: seconds for what, seconds in outages.items() if seconds > LONGEST} == {}
    assert node.machine.state(JOB)["Result"] == "success"


def test_uninstalling_stops_the_run_after_a_firewall_reload(node: Booted) -> None:
    node.machine.run("systemctl", "start", "nftables.service")
    node.machine.wait_until(lambda: len(node.rules()) == 2, "both rules")
    assert node.nplconf("uninstall-units").returncode == 0
    node.machine.run("systemctl", "restart", "nftables.service")
    assert node.rules() == []
    assert node.machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "nplconf*").stdout == ""
    assert not list(node.machine.path("/etc/systemd/system").glob("*.wants/nplconf*"))
