"""Check `forward-policy`: no firewall of the node drops packets to Pods."""

import contextlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from nplconf.doctor import forward
from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import pod_addresses
from nplconf.doctor.facts.kernel import DEADLINE, device_of_route
from nplconf.doctor.facts.netfilter import Filter, filters
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.errors import NplconfError
from nplconf.model import Family
from nplconf.node import command

PREFIX: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}


class Forwarding(NamedTuple):
    """What decides whether packets may pass the node. native: nftables chains that drop by default.

    uplinks: devices of the default routes. pods: an address of a Pod, and the device that leads to it ("" unknown).
    """

    filters: tuple[Filter, ...]
    native: tuple[str, ...]
    uplinks: frozenset[str]
    pods: Mapping[Family, tuple[str, str]]


def forwarding(facts: Facts) -> Forwarding | Unknown:
    """Return everything that may keep packets from being forwarded."""
    tables = facts.read(filters)
    if isinstance(tables, Unknown):
        return tables
    pods = {family: (ip, device_of_route("route", "get", ip)) for family, ip in facts.read(pod_addresses).items()}
    ways = [device_of_route(flag, "route", "show", "default") for flag in ("-4", "-6")]
    return Forwarding(tables, native_chains(), frozenset(filter(None, ways)), pods)


def native_chains() -> tuple[str, ...]:
    """Return nftables chains that forwarded packets pass, that drop by default, and that know nothing of DNAT."""
    found = []
    with contextlib.suppress(NplconfError, ValueError, KeyError):
        listed = json.loads(command.run("nft", "--json", "list", "chains", deadline=DEADLINE).text or "{}")
        for entry in listed.get("nftables", ()):
            chain = entry.get("chain", {})
            iptables_own = chain.get("family") in ("ip", "ip6") and chain.get("table") == "filter"
            if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not iptables_own:
                words = (chain["family"], chain["table"], chain["name"])
                if "dnat" not in command.run("nft", "list", "chain", *words, deadline=DEADLINE).text:
                    found.append(" ".join(words))
    return tuple(found)


def forward_policy(facts: Facts) -> Verdict:
    """No firewall drops what is translated to a Pod."""
    found = facts.read(forwarding)
    if isinstance(found, Unknown):
        return unchecked(found)
    if dropping := [table for table in found.filters if _verdict(table, found) == "drop"]:
        names = ", ".join(f"{table.program} ({table.family})" for table in dropping)
        accept = (f"{_program(table)} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT" for table in dropping)
        return fail(f"{names}: chain FORWARD drops packets to Pods", " && ".join(accept))
    if found.native:
        message = f"nftables: {', '.join(found.native)} drops by default, and no rule in it accepts packets to Pods"
        return warn(message, " && ".join(f"nft insert rule {chain} ct status dnat accept" for chain in found.native))
    return ok("no firewall drops packets to Pods")


def _verdict(table: Filter, found: Forwarding) -> forward.Outcome:
    address, device = found.pods.get(table.family, ("", ""))
    return forward.verdict(forward.parse(table.lines), forward.Packet(found.uplinks, device, address))


def _program(table: Filter) -> str:
    return table.program.replace("iptables", PREFIX[table.family])


CHECKS = (Check("forward-policy", 50, forward_policy),)
