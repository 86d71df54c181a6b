"""What users of Antrea's NodePortLocal rely on when iptables fails or ports are reassigned, case by case."""

import json
from typing import Any

import pytest
from apisite import Site
from shims import WRITES_RULES, Shims

pytestmark = [pytest.mark.api, pytest.mark.kernel]
FAILS = f"if {WRITES_RULES}; then echo no >&2; exit 4; fi"
"""In a shim: whatever is to be written is not."""


@pytest.fixture
def node(node: Site) -> Site:
    """A node whose iptables may fail, and a Pod."""
    node.shims = Shims.make(node.directory / "shims")
    node.area.pod("a", ("10.244.3.10",), ports=[{"containerPort": 80, "name": "http"}])
    return node


def iptables(node: Site, behaviour: str) -> None:
    assert node.shims
    for program in ("iptables", "ip6tables"):
        node.shims.have(f"{program}-nft-restore", behaviour)


def ports(node: Site, *targets: int) -> None:
    """The ports that the Service targets."""
    rows = [{"name": f"p{target}", "port": target, "targetPort": target, "protocol": "TCP"} for target in targets]
    path = f"/api/v1/namespaces/{node.area.namespace}/services/web"
    node.area.plane.ok("PATCH", path, {"spec": {"ports": rows}})


def numbers(node: Site) -> dict[int, int]:
    """Return Pod port -> node port from the Pod's annotation."""
    return {e["podPort"]: e["nodePort"] for e in json.loads(node.area.annotation("a") or "[]")}


def in_kernel(node: Site) -> set[int]:
    """The Pod ports that rules lead to."""
    return {int(rule.rpartition(":")[2]) for rule in node.ours() if "-j DNAT" in rule}


def test_what_iptables_does_not_take_is_not_published_and_made_by_the_next_run(node: Site) -> None:
    node.area.service("web", ((80, 80, "TCP"),))
    iptables(node, FAILS)

    applied = node.apply()

    assert applied.code == 69
    assert (node.area.annotation("a"), in_kernel(node)) == (None, set())

    iptables(node, "")
    assert node.apply().code == 0
    assert (set(numbers(node)), in_kernel(node)) == ({80}, {80})


@pytest.fixture
def stuck(node: Site) -> dict[int, int]:
    """Port 90 is asked for no more, and its rule could not be removed; the numbers of before."""
    node.area.service("web", ((80, 80, "TCP"), (90, 90, "TCP")))
    assert node.apply().code == 0
    before = numbers(node)
    ports(node, 80)
    iptables(node, FAILS)
    assert node.apply().code == 5
    return before


def test_a_rule_that_cannot_be_removed_is_withdrawn_all_the_same_and_removed_by_the_next_run(
    node: Site, stuck: dict[int, int]
) -> None:
    assert numbers(node) == {80: stuck[80]}
    assert in_kernel(node) == {80, 90}

    iptables(node, "")
    assert node.apply().code == 0
    assert (numbers(node), in_kernel(node)) == ({80: stuck[80]}, {80})


def test_a_rule_that_could_not_be_removed_is_published_again_once_it_is_wanted_again(
    node: Site, stuck: dict[int, int]
) -> None:
    ports(node, 80, 90)

    iptables(node, "")
    assert node.apply().code == 0
    assert (numbers(node), in_kernel(node)) == (stuck, {80, 90})


# --- who is served ---------------------------------------------------------------------------------------------------


def services(node: Site) -> list[str]:
    """The Services of the one mapping, without their namespace."""
    shown: dict[str, Any] = json.loads(node.nplconf("show", "-o", "json").stdout)
    (mapping,) = shown["mappings"]
    return [key.removeprefix(f"{node.area.namespace}/") for key in mapping["services"]]


@pytest.mark.watch_too
@pytest.mark.parametrize("target", [80, "http"])
def test_a_number_knows_every_service_it_serves(node: Site, target: int | str) -> None:
    node.area.service("web", ((80, 80, "TCP"),))
    node.area.service("also", ((80, target, "TCP"),))

    assert node.apply().code == 0
    assert services(node) == ["also", "web"]

    published = node.area.annotation("a")
    node.area.delete("web", "services")
    assert node.apply().code == 0
    assert (services(node), node.area.annotation("a")) == (["also"], published)


@pytest.mark.watch_too
def test_a_number_whose_state_was_lost_learns_its_services_again(node: Site) -> None:
    node.area.service("web", ((80, "http", "TCP"),))
    assert node.apply().code == 0
    (node.directory / "state" / "state.json").unlink()

    assert node.apply().code == 0
    assert services(node) == ["web"]


def test_explain_names_the_pod_of_a_number(node: Site) -> None:
    node.area.service("web", ((80, "http", "TCP"),))
    assert node.apply().code == 0
    number = numbers(node)[80]

    output = node.nplconf("explain", f"tcp/{number}").stdout

    assert f"{node.area.namespace}/web" in output
    assert f"{node.area.namespace}/a" in output
