"""A node whose distribution has no iptables: everything works on nftables, within the units' hardening."""

from collections.abc import Iterator

import pytest
from booted import JOB, POD_IP, Booted, booted, objects
from echo import Answer
from netns import CLIENT

pytestmark = pytest.mark.systemd
TEXTFILE = "/var/lib/node-exporter/nplconf.prom"


@pytest.fixture(scope="module")
def node() -> Iterator[Booted]:
    """A machine from which the programs of iptables are gone; the backend is not configured."""
    with booted(f"textfile: {TEXTFILE}\n") as made:
        made.write(*objects())
        made.machine.write("/var/lib/node-exporter/other.prom", "")
        made.machine.run("sh", "-c", "rm /usr/sbin/*tables-* /usr/sbin/iptables /usr/sbin/ip6tables")
        yield made


def test_the_hardened_units_serve_mappings_by_nftables(node: Booted) -> None:
    numbers = node.install()
    assert node.machine.state(JOB)["Result"] == "success"
    answers = {port: node.ask(number) for port, number in numbers.items()}
    assert answers == {port: Answer("web", port, CLIENT["IPv4"]) for port in (8080, 9090)}
    assert sorted(rule.rpartition(" : ")[2] for rule in node.rules()) == [f"{POD_IP} . 8080", f"{POD_IP} . 9090"]
    assert 'backend="nftables"' in node.machine.path(TEXTFILE).read_text()


def test_every_command_of_the_node_succeeds(node: Booted) -> None:
    numbers = node.numbers() or node.install()
    assert node.doctor() == {}
    assert node.nplconf("verify").returncode == 0
    assert str(numbers[8080]) in node.nplconf("show").stdout
    assert f"tcp/{numbers[8080]} -> shop/web:8080 at {POD_IP}" in node.nplconf("explain", "shop/web").stdout
    assert "0 to add, 0 to change, 0 to delete" in node.nplconf("plan").stdout


def test_a_flushed_ruleset_is_there_again_after_the_next_run(node: Booted) -> None:
    numbers = node.numbers() or node.install()
    node.machine.run("nft", "flush", "ruleset")
    assert node.run_job() == "success"
    assert len(node.rules()) == 2
    assert isinstance(node.ask(numbers[8080]), Answer)


def test_uninstalling_leaves_no_table(node: Booted) -> None:
    assert node.numbers() or node.install()
    assert node.nplconf("uninstall-units").returncode == 0
    assert "nplconf" not in node.machine.run("nft", "list", "tables").stdout
    assert node.rules() == []
