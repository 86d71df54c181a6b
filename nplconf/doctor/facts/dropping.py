"""The rule that drops a probe's packet, and the command that lets such packets pass."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nplconf.doctor.facts.kernel import DEADLINE
from nplconf.doctor.facts.netfilter import saved
from nplconf.doctor.facts.probe import WORDS, Probed, sender
from nplconf.errors import NplconfError
from nplconf.model import Family
from nplconf.node import backend, command, nft
from nplconf.node.nftrace import Step

AFTER: Mapping[str, tuple[str, str]] = {
    "start": ("raw", "PREROUTING"),
    "raw": ("mangle", "PREROUTING"),
    "forward": ("mangle", "FORWARD"),
    "forward-mangle": ("filter", "FORWARD"),
    "forward-filter": ("security", "FORWARD"),
    "forward-security": ("mangle", "POSTROUTING"),
}
"""The table and chain of iptables that come after a checkpoint: there a packet ended that came no further."""
OWN = ("filter", "nat", "mangle", "raw", "security")
"""The tables of iptables-nft."""
BUILT_IN = ("PREROUTING", "FORWARD", "POSTROUTING")
REPEATED = 5
"""Packets by which the counter of a rule must rise to be the rule that drops them."""
_COUNTER = re.compile(r"\[(\d+):\d+\] ?")
_FORWARDS = re.compile(r"forward|postrouting", re.IGNORECASE)


class Dropping(NamedTuple):
    """The place that drops a packet ("ip filter FORWARD", "iptables-legacy (IPv4), table filter, chain FORWARD").

    rule: its text. fix: the command that lets packets to Pods pass.
    """

    place: str
    rule: str
    fix: str


# --- nftables --------------------------------------------------------------------------------------------------------


def by_step(step: Step, found: Probed) -> Dropping:
    """Return what a step of a trace says."""
    place = f"{step.family} {step.table} {step.chain}"
    rule = f"policy drop of chain {step.chain}" if step.kind == "policy" else _text(step)
    if _of_iptables(step):
        return Dropping(_named(step), rule, _iptables_fix(found.rule.key.family, "nft", step.table, _base(step), found))
    return Dropping(f"nftables chain {place}", rule, _nft_fix(step, found))


def _of_iptables(step: Step) -> bool:
    """Return whether a chain is one of iptables-nft, not a base chain of others in a table of that name."""
    if step.family not in WORDS.values() or step.table not in OWN:
        return False
    return step.chain in BUILT_IN or not any(
        chain.get("hook") for chain in _chains(step) if chain.get("name") == step.chain
    )


def _chains(step: Step) -> list[dict[str, Any]]:
    """Return the chains of a step's table, as nft lists them."""
    chains = [entry["chain"] for entry in nft.listed("chains") if "chain" in entry]
    return [chain for chain in chains if (chain.get("family"), chain.get("table")) == (step.family, step.table)]


def _named(step: Step) -> str:
    family = "IPv4" if step.family == "ip" else "IPv6"
    return f"iptables-nft ({family}), table {step.table}, chain {step.chain}"


def _text(step: Step) -> str:
    """Return the text of a rule: as iptables-save prints it where the rule is one of iptables."""
    with contextlib.suppress(NplconfError):
        place = (step.family, step.table, step.chain)
        listed = command.run("nft", "--handle", "list", "chain", *place, deadline=DEADLINE).text.splitlines()
        rules = [line.strip() for line in listed if re.search(r"# handle \d+$", line) and "{" not in line]
        at = next(i for i, line in enumerate(rules) if line.endswith(f"# handle {step.handle}"))
        if lines := list(_saved_rules(step)):
            return lines[at] if len(lines) == len(rules) else rules[at]
        return rules[at].rpartition(" # handle")[0]
    return f"rule with handle {step.handle}"


def _saved_rules(step: Step) -> Iterator[str]:
    """Yield the rules of a chain as iptables-nft-save prints them; none for a chain of nftables itself."""
    if _of_iptables(step):
        with contextlib.suppress(NplconfError):
            table = saved("nft", "IPv4" if step.family == "ip" else "IPv6", step.table)
            yield from (line for line in table.lines if line.startswith(f"-A {step.chain} "))


def _base(step: Step) -> str:
    """Return the base chain that leads to a step's chain: its own hook, or the last base chain of the table before."""
    if step.chain in BUILT_IN:
        return step.chain
    return "PREROUTING" if step.table == "raw" else "FORWARD"


def _nft_fix(step: Step, found: Probed) -> str:
    """Return the command that accepts packets to Pods in the base chain of the table that drops them."""
    bases = [chain for chain in _chains(step) if chain.get("hook")]
    own = (
        [chain for chain in bases if chain["name"] == step.chain]
        or [c for c in bases if c["hook"] == "forward"]
        or bases
    )
    place = f"{step.family} {step.table} {own[0]['name'] if own else step.chain}"
    translated = bool(own) and bool(_FORWARDS.fullmatch(str(own[0]["hook"])))
    condition = "ct status dnat" if translated else f"{found.packet.protocol} dport {found.packet.port}"
    return f"nft insert rule {place} {condition} accept"


# --- iptables --------------------------------------------------------------------------------------------------------


def _iptables_fix(family: Family, kind: str, table: str, chain: str, found: Probed) -> str:
    program = f"{'iptables' if family == 'IPv4' else 'ip6tables'}-{kind}"
    if command.find(program) is None:
        program = program.removesuffix(f"-{kind}")
    translated = "-m conntrack --ctstate DNAT"
    condition = f"-p {found.packet.protocol} --dport {found.packet.port}" if chain == "PREROUTING" else translated
    return f"{program} -t {table} -I {chain} {condition} -j ACCEPT"


def by_legacy(found: Probed) -> Dropping | None:
    """Return the rule of iptables-legacy whose counter rises with packets like the probe's; None when none does."""
    family, place = found.rule.key.family, AFTER.get(found.reached[-1] if found.reached else "")
    with contextlib.suppress(NplconfError, OSError):
        if place is None or not backend.legacy_has(place[0], family):
            return None
        before, send = _counted(family, place[0]), sender(found)
        for _ in range(REPEATED):
            send()
        after = _counted(family, place[0])
        risen = [text for text, count in after.items() if count - before.get(text, count) >= REPEATED]
        drops = [text for text in risen if _drops(text)]
        if drops:
            table, chain = place
            own = drops[-1].lstrip(":").removeprefix("-A ").split()[0]
            where = f"iptables-legacy ({family}), table {table}, chain {own}"
            return Dropping(where, drops[-1], _iptables_fix(family, "legacy", table, chain, found))
    return None


def _counted(family: Family, table: str) -> dict[str, int]:
    """Return the packets that each rule and policy of a legacy table has counted, by its text."""
    done = command.run(backend.program(family, "legacy", "save"), "--counters", "-t", table, deadline=DEADLINE)
    counted: dict[str, int] = {}
    for line in done.text.splitlines():
        if match := _COUNTER.search(line):
            counted[line.replace(match[0], "").strip()] = int(match[1])
    return counted


def _drops(text: str) -> bool:
    return text.endswith(" DROP") or " -j DROP" in text or " -j REJECT" in text
