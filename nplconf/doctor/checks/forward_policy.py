"""Check `forward-policy`: no firewall of the node drops packets to Pods, and no foreign rule takes them.

Where a mapping is live the kernel is asked: a traced packet to it says which rule drops it. Where that cannot be done,
the rules are read as text. A rule whose conditions cannot be judged is a warning then, never "ok".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nplconf.doctor import forward
from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import pod_addresses
from nplconf.doctor.facts.dropping import Dropping, by_legacy, by_step
from nplconf.doctor.facts.kernel import device_of_route
from nplconf.doctor.facts.netfilter import Filter, diverting, filters
from nplconf.doctor.facts.probe import Probed, probes
from nplconf.doctor.native import ForwardChain, chains
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.model import FAMILIES, Family
from nplconf.node import nft
from nplconf.rules.foreign import ForeignRule

PREFIX: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}


# --- facts -----------------------------------------------------------------------------------------------------------


class Drop(NamedTuple):
    """A probe's packet that did not arrive, and why: a rule, or "" for the routing."""

    target: str
    dropping: Dropping | None
    untranslated: bool = False


class Kernel(NamedTuple):
    """The kernel's answer: the families that were probed, and the packets that did not arrive."""

    asked: frozenset[Family] = frozenset()
    drops: tuple[Drop, ...] = ()


def kernel(facts: Facts) -> Kernel:
    """Return what became of a packet to each family and protocol that has a mapping."""
    found = facts.read(probes)
    return Kernel(
        frozenset(one.rule.key.family for one in found), tuple(_drop(one) for one in found if not one.arrives)
    )


def _drop(found: Probed) -> Drop:
    key = found.rule.key
    address = f"[{found.packet.destination}]" if key.family == "IPv6" else found.packet.destination
    target = f"{key.protocol}/{address}:{key.node_port}"
    if found.dropped:
        return Drop(target, by_step(found.dropped, found))
    if "input" in found.reached:
        untracking = next((step for step in found.steps if step.table == "raw" and step.kind == "rule"), None)
        return Drop(target, by_step(untracking, found) if untracking else None, untranslated=True)
    return Drop(target, by_legacy(found))


class Forwarding(NamedTuple):
    """The rules as text. filters: tables of iptables. native: base chains of nftables itself.

    uplinks: devices of the default routes. pods: an address of a Pod, and the device that leads to it ("" unknown).
    """

    filters: tuple[Filter, ...]
    native: tuple[ForwardChain, ...]
    uplinks: frozenset[str]
    pods: Mapping[Family, tuple[str, str]]


def forwarding(facts: Facts) -> Forwarding | Unknown:
    """Return everything that may keep packets from being forwarded."""
    tables = facts.read(filters)
    if isinstance(tables, Unknown):
        return tables
    pods = {family: (ip, device_of_route("route", "get", ip)) for family, ip in facts.read(pod_addresses).items()}
    ways = [device_of_route(flag, "route", "show", "default") for flag in ("-4", "-6")]
    return Forwarding(tables, chains(nft.listed("ruleset")), frozenset(filter(None, ways)), pods)


# --- the check -------------------------------------------------------------------------------------------------------


def forward_policy(facts: Facts) -> Verdict:
    """No packet to a Pod is dropped or goes elsewhere."""
    if taking := facts.read(diverting):
        return _taken(taking[0])
    asked = facts.read(kernel)
    if asked.drops:
        return _dropped(asked.drops[0])
    found = facts.read(forwarding)
    if isinstance(found, Unknown):
        return unchecked(found)
    wanted = frozenset(found.pods or FAMILIES) - asked.asked
    return _by_text(found, wanted, asked.asked)


def _taken(rule: ForeignRule) -> Verdict:
    program, *place = rule.place.split(" ")
    ports = str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}"
    packets = "what this node sends to itself" if rule.local else "the packets to a mapping"
    message = f"{rule.protocol}/{ports} ({rule.family}): a foreign rule takes {packets} first ({rule})"
    fix = _removal(rule, program, place)
    return warn(message, fix) if rule.local else fail(message, fix)


def _removal(rule: ForeignRule, program: str, place: Sequence[str]) -> str:
    if program == "nft":
        return f"nft -a list chain {' '.join(place)}  # then: nft delete rule {' '.join(place)} handle NUMBER"
    return f"{program.replace('iptables', PREFIX[rule.family])} -t nat -D {place[0]} {rule.text}"


def _dropped(drop: Drop) -> Verdict:
    if drop.untranslated:
        by = f": {drop.dropping.place}: {drop.dropping.rule}" if drop.dropping else ""
        message = f"a packet to {drop.target} is not translated and stays on this node{by}"
        return fail(message, drop.dropping.fix if drop.dropping else "nplconf verify")
    if drop.dropping:
        message = f"a packet to {drop.target} is dropped by {drop.dropping.place}: {drop.dropping.rule}"
        return fail(message, drop.dropping.fix)
    return unchecked(Unknown(f"the routing of this node drops packets to {drop.target} (see ip-forward)", "ip-forward"))


def _by_text(found: Forwarding, families: Iterable[Family], asked: Iterable[Family]) -> Verdict:
    outcomes = {table: _verdict(table, found) for table in found.filters if table.family in families}
    if dropping := [table for table, outcome in outcomes.items() if outcome == "drop"]:
        return fail(f"{_names(dropping)}: chain FORWARD drops packets to Pods", _accept(dropping))
    if unclear := [table for table, outcome in outcomes.items() if outcome == "maybe"]:
        message = f"{_names(unclear)}: cannot tell from the rules of FORWARD whether packets to Pods pass"
        return warn(message, _accept(unclear))
    if native := [
        chain for chain in found.native if chain.families & frozenset(families) and chain.outcome != "accept"
    ]:
        names = ", ".join(chain.place for chain in native)
        message = f"nftables: {names} may drop packets to Pods"
        return warn(message, " && ".join(f"nft insert rule {chain.place} ct status dnat accept" for chain in native))
    how = " (asked the kernel with a traced packet)" if asked else ""
    return ok(f"no firewall drops packets to Pods{how}")


def _names(tables: Iterable[Filter]) -> str:
    return ", ".join(f"{table.program} ({table.family})" for table in tables)


def _accept(tables: Iterable[Filter]) -> str:
    return " && ".join(
        f"{table.program.replace('iptables', PREFIX[table.family])} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"
        for table in tables
    )


def _verdict(table: Filter, found: Forwarding) -> forward.Outcome:
    address, device = found.pods.get(table.family, ("", ""))
    return forward.verdict(forward.parse(table.lines), forward.ForwardedPacket(found.uplinks, device, address))


CHECKS = (Check("forward-policy", 50, forward_policy),)
