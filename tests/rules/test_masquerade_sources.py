"""The masquerade sources of a Pod, from the most specific route to its address among many."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from nplconf.rules.masquerade import Route, masquerade_sources

BRIDGE = Route("10.244.3.0/24", bridged=True)
ADDRESSES = st.one_of(
    st.integers(0, 255).map(lambda n: f"10.244.{n % 4}.{n}"),
    st.integers(0, 255).map(lambda n: f"fd00::{n % 4:x}:{n:x}"),
)


def sources(*routes: Route, ips: tuple[str, ...] = ("10.244.3.17",)) -> list[str]:
    return [place.source for place in masquerade_sources(routes, ips)]


def test_a_pod_on_a_bridge_past_conntrack_is_masqueraded_for_the_bridges_network() -> None:
    assert sources(BRIDGE) == ["10.244.3.0/24"]


def test_a_pods_own_route_wins_over_the_bridges() -> None:
    assert sources(BRIDGE, Route("10.244.3.17/32", bridged=False)) == ["10.244.3.17/32"]


def test_a_pod_elsewhere_has_itself_alone() -> None:
    assert sources(BRIDGE, ips=("10.244.4.9", "fd00::9")) == ["10.244.4.9/32", "fd00::9/128"]


def test_pods_with_a_route_each_are_masqueraded_for_pods_on_the_same_bridge() -> None:
    here = [Route(f"10.244.3.{number}/32", bridged=True, device="cni0") for number in (16, 17, 40)]
    here += [Route("fd00::17/128", bridged=True, device="cni0"), Route("10.9.0.0/24", bridged=True, device="cni0")]
    elsewhere = [Route("10.244.3.18/32", bridged=True, device="cni1"), Route("10.244.3.19/32", bridged=False)]
    every = (*here, *elsewhere)
    assert sources(*every) == ["10.9.0.0/24", "10.244.3.16/31", "10.244.3.40/32"]
    assert sources(*every, ips=("10.244.3.18", "10.244.3.19")) == ["10.244.3.18/32", "10.244.3.19/32"]
    assert sources(*every, ips=("fd00::17",)) == ["fd00::17/128"]


def test_the_default_route_of_the_other_family_says_nothing() -> None:
    assert sources(Route("::/0", bridged=True)) == ["10.244.3.17/32"]


def test_the_order_of_pods_does_not_change_their_masquerade_sources() -> None:
    ips = ("10.244.3.17", "10.244.3.16", "10.244.4.9")
    for routes in ((), (BRIDGE,)):
        assert masquerade_sources(routes, ips) == masquerade_sources(routes, ips[::-1])


@given(st.lists(st.tuples(ADDRESSES, st.integers(8, 128), st.booleans())), st.lists(ADDRESSES, unique=True))
def test_the_most_specific_of_any_routes_decides(rows: list[tuple[str, int, bool]], ips: list[str]) -> None:
    networks = {}
    for address, bits, bridged in rows:
        network = ipaddress.ip_network(f"{address}/{bits if ':' in address else min(bits, 32)}", strict=False)
        networks[network] = Route(str(network), bridged, device=str(network))

    found = dict(masquerade_sources(tuple(networks.values()), ips))

    for ip in ips:
        own = ipaddress.ip_address(ip)
        around = sorted((n for n in networks if own in n), key=lambda n: n.prefixlen)
        best = networks[around[-1]] if around else None
        assert found[ip] == (best.network if best and best.bridged else f"{ip}/{own.max_prefixlen}")
