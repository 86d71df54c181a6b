"""Checks `backend` and `backend-leftovers`: one backend answers, and all rules are in it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.kernel import missing_capabilities
from nplconf.doctor.facts.netfilter import blind, live, node
from nplconf.doctor.facts.parts import missing_parts
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.model import FAMILIES, Backend, Family, IptablesKind
from nplconf.node import backend as programs
from nplconf.node import libnftables
from nplconf.node.nft import NativeRule, native_rules

NAMED = 5
"""How many rules a message names."""


class Iptables(NamedTuple):
    """The backends of the node. hinted: the iptables that the kubelet uses. unreadable: the error, by family.

    installed: kinds of iptables, and "nftables". native: nftables rules in base chains of iptables-nft.
    """

    installed: tuple[str, ...]
    configured: str
    hinted: IptablesKind | None
    unreadable: Mapping[Family, str]
    native: tuple[NativeRule, ...] = ()


def iptables(facts: Facts) -> Iptables:
    """Return which are installed, and whether the one in use answers. One that hangs is not asked again."""
    unreadable = facts.read(live).unreadable
    hinted = None if unreadable else programs.hinted()
    native = () if unreadable else tuple(rule for family in FAMILIES for rule in native_rules(family))
    installed = (*programs.installed(), *(("nftables",) if libnftables.installed() else ()))
    return Iptables(installed, facts.settings.backend.removeprefix("iptables-"), hinted, unreadable, native)


def leftovers(facts: Facts) -> Mapping[Backend, tuple[Family, ...]] | Unknown:
    """Return the families in which a backend that is not used has rules of nplconf."""
    if unknown := facts.read(blind):
        return unknown
    machine = facts.read(node)
    return machine.leftovers() if machine else {}


def backend(facts: Facts) -> Verdict:  # noqa: PLR0911 - one return for each thing that can be wrong
    """Some backend is installed, answers, and is the one of the kubelet."""
    found = facts.read(iptables)
    if not found.installed:
        return fail("neither iptables nor nftables is installed", programs.installation())
    if found.configured != "auto" and found.configured not in found.installed:
        return fail(
            f"backend {found.configured} is configured, but not installed", programs.installation(found.configured)
        )
    if lacking := facts.read(missing_capabilities):
        return unchecked(Unknown(f"iptables does not answer without {', '.join(sorted(lacking))}", "capabilities"))
    if parts := facts.read(missing_parts):
        return fail("; ".join(part.message for part in parts), parts[0].fix)
    if found.unreadable:
        reasons = "; ".join(dict.fromkeys(found.unreadable.values()))
        return fail(reasons, "modprobe -a nf_tables nft_compat ip_tables ip6_tables")
    if found.native:
        return _native(found.native)
    if found.hinted and found.configured not in ("auto", "nftables", found.hinted):
        message = f"backend {found.configured} is configured, but the kubelet uses iptables-{found.hinted}"
        return warn(message, f"sed -i 's/^backend:.*/backend: auto/' {facts.settings.config}")
    return ok(f"{' and '.join(found.installed)} installed, {found.configured} configured")


def _native(rules: Sequence[NativeRule]) -> Verdict:
    names = "; ".join(f"{rule.place}: {rule.text}" for rule in rules[:NAMED])
    message = f"native nftables rules in chains of iptables-nft, which cannot list these chains any more: {names}"
    removals = (f"nft delete rule {rule.place} handle {rule.handle}" for rule in rules)
    return warn(message, f"{' && '.join(removals)}  # and add them to a table of their own")


def backend_leftovers(facts: Facts) -> Verdict:
    """No rule of nplconf is in a backend that is not used."""
    found = facts.read(leftovers)
    if isinstance(found, Unknown):
        return unchecked(found)
    if found:
        places = (f"{name} ({', '.join(families)})" for name, families in found.items())
        return warn(f"rules of nplconf in a backend that is not in use: {', '.join(places)}", "nplconf apply")
    return ok("no rules of nplconf in a backend that is not in use")


CHECKS = (Check("backend", 10, backend), Check("backend-leftovers", 20, backend_leftovers))
