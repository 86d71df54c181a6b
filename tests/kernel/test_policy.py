"""Source ranges of a policy with real packets: for other clients the port is unmapped."""

from contextlib import closing
from pathlib import Path

import pytest
import worlds
from echo import Answer, Flow, timed
from netns import CLIENT, World, add_address, inside

from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
STRANGER = {"IPv4": "10.10.10.200", "IPv6": "fd00:10::200"}
FAMILIES = pytest.mark.parametrize("family", ["IPv4", "IPv6"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["tcp", "udp"])
GUESTS = ("10.10.10.77/32", "10.244.3.0/24", "fd00:10::77/128")
HEAD = "apiVersion: nplconf.io/v1alpha1\nkind: Policy\nspec:\n"


def bounded(node: World, spec: str) -> str:
    """A policy file, as an option."""
    path = node.directory / "policy.yaml"
    path.write_text(HEAD + spec)
    return f"--policy={path}"


def clients(node: World, *networks: str) -> str:
    return bounded(node, f"  sourceRanges: [{{namespace: shop, cidrs: [{', '.join(map(repr, networks))}]}}]\n")


def number(node: World, pod: str = "web-0") -> int:
    """Return the published node port of a Pod."""
    (found,) = {entry.node_port for entry in annotation.parse(worlds.annotations(node.cluster)[pod])}
    return found


@pytest.fixture
def shop(node: World) -> World:
    """A Pod with a port of both protocols and families, held; a client with a second address nobody invited."""
    service = worlds.raw_service("web", [(80, 8080, "TCP"), (81, 8080, "UDP")])
    service["spec"] |= {"selector": {"all": "yes"}, "ipFamilies": ["IPv4", "IPv6"]}
    node.write(node.routed("web-0", "10.244.3.17", "fd00:244::17", udp=(8080,)), service)
    for ip, bits in _stranger():
        add_address(node.space("client"), ip, bits, "eth0")
    node.start_hold()
    return node


def _stranger() -> tuple[tuple[str, int], ...]:
    return (STRANGER["IPv4"], 24), (STRANGER["IPv6"], 64)


@FAMILIES
@PROTOCOLS
def test_only_allowed_clients_reach_the_pod_and_others_are_refused_at_once(
    shop: World, family: str, protocol: str
) -> None:
    assert shop.apply(clients(shop, *GUESTS)).code == 0
    port, guest, stranger = number(shop), CLIENT[family], STRANGER[family]

    invited = shop.ask("client", NODE_IP[family], port, protocol=protocol, source=guest)
    other, seconds = timed(lambda: shop.ask("client", NODE_IP[family], port, protocol=protocol, source=stranger))

    assert invited == Answer("web-0", 8080, guest)
    assert other == "refused"
    assert seconds < 1
    assert shop.nplconf("verify", clients(shop, *GUESTS)).returncode == 0


@pytest.mark.watch_too
def test_the_node_itself_and_the_pod_itself_are_clients_like_others(shop: World) -> None:
    shop.apply(clients(shop, *GUESTS))
    assert shop.ask("node", NODE_IP["IPv4"], number(shop)) == "refused"
    answer = shop.ask("web-0", NODE_IP["IPv4"], number(shop))
    assert isinstance(answer, Answer), "10.244.3.0/24 is invited"


@FAMILIES
@PROTOCOLS
def test_local_clients_that_are_not_allowed_find_a_closed_port(shop: World, family: str, protocol: str) -> None:
    shop.apply(clients(shop, "192.0.2.0/24", "2001:db8::/32"))
    port = number(shop)
    assert shop.ask("web-0", NODE_IP[family], port, protocol=protocol) == "refused"
    free = shop.ask("node", NODE_IP[family], port + 1, protocol=protocol)
    assert shop.ask("node", NODE_IP[family], port, protocol=protocol) == free, "as a number that nobody has"


@pytest.mark.watch_too
def test_a_client_that_is_no_longer_allowed_loses_its_open_flow(shop: World) -> None:
    shop.apply(clients(shop, "10.10.10.0/24", "fd00:10::/64"))
    with inside(shop.space("client")), closing(Flow(NODE_IP["IPv4"], number(shop))) as flow:
        assert isinstance(flow.send(), Answer)
        applied = shop.apply(clients(shop, "192.0.2.0/24", "2001:db8::/32"))
        assert [c["reason"] for c in applied.data["changes"]] == ["source-ranges-changed"] * 4
        assert flow.send(0.3) == "silence"
        shop.apply(clients(shop, "10.10.10.0/24", "fd00:10::/64"))
        assert isinstance(flow.send(), Answer)


@pytest.mark.watch_too
def test_without_the_policy_every_client_is_allowed_again(shop: World) -> None:
    shop.apply(clients(shop, *GUESTS))
    shop.apply()
    assert isinstance(shop.ask("client", NODE_IP["IPv4"], number(shop), source=STRANGER["IPv4"]), Answer)
    assert not any("-FROM-" in line for line in shop.ours())


@pytest.mark.watch_too
def test_a_run_that_changes_nothing_writes_nothing_under_a_policy_too(shop: World) -> None:
    spec = "  pins: [{pod: shop/web-0, podPort: 8080, nodePort: 61080}]\n  caps: {perPod: 1}\n"
    spec += f"  sourceRanges: [{{namespace: shop, cidrs: [{', '.join(map(repr, GUESTS))}]}}]\n"
    assert shop.apply(bounded(shop, spec)).counts == (0, 4, 0)
    before = shop.rules(), shop.rules("IPv6")
    assert shop.apply(bounded(shop, spec)).counts == (4, 0, 0)
    assert (shop.rules(), shop.rules("IPv6")) == before
    assert number(shop) == 61080


@pytest.mark.watch_too
def test_a_denied_namespace_loses_its_mappings_and_gets_the_reason(shop: World) -> None:
    shop.apply()
    before = number(shop)
    applied = shop.apply(bounded(shop, "  namespaces: {deny: [sh*]}\n"))
    assert {(s["reason"], s["rule"]) for s in applied.data["skipped"]} == {("policy", "spec.namespaces.deny[0]")}
    assert worlds.annotations(shop.cluster)["web-0"] == "[]"
    assert shop.ask("client", NODE_IP["IPv4"], before) == "refused"


def test_a_policy_that_cannot_be_read_changes_nothing_and_the_node_is_kept_in_order(shop: World) -> None:
    shop.apply(clients(shop, *GUESTS))
    before = shop.rules()
    shop.run(f"iptables-{shop.backend}", "-t", "nat", "-F")
    for broken in (bounded(shop, "  caps: {perPod: 0}\n"), f"--policy={Path('/nowhere/policy.yaml')}"):
        applied = shop.apply(broken)
        assert applied.code == 65
        assert "policy.yaml" in applied.stderr
    assert shop.rules() == before
    assert shop.ask("client", NODE_IP["IPv4"], number(shop), source=STRANGER["IPv4"]) == "refused"
