"""Whether a filter table lets a new, translated packet from outside through to a Pod.

Not every condition of a rule can be judged here (protocols, ports, marks, sets, sources). A rule that accepts under
such a condition, or leads past what comes after it, may let packets to Pods pass: where a rule or policy that drops
everything comes after it, the outcome is "maybe". A rule that drops under such a condition is taken to be meant for
other packets. "drop" is the outcome only where nothing could let the packet through.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple

Outcome = Literal["accept", "drop", "maybe", "perhaps", "return"]
"""maybe: some rules accept the packet or others drop it. perhaps: a rule may accept it, else it goes on."""
Fit = Literal["yes", "no", "maybe"]
STATES = {"NEW", "DNAT"}
ENDS: Mapping[str, Outcome] = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
DEPTH = 32
"""iptables refuses loops, but a dump can say anything."""
MEANINGLESS = {"--comment", "-m"}
"""Options that decide nothing about who matches; each has one argument."""


class ForwardedPacket(NamedTuple):
    """The known fields of a packet; empty ones are unknown."""

    arrives: frozenset[str] = frozenset()
    leaves: str = ""
    goes_to: str = ""


@dataclass(frozen=True, slots=True)
class FilterTable:
    """Chains that have rules, each rule as its words; policies of the built-in ones."""

    chains: Mapping[str, Sequence[Sequence[str]]]
    policies: Mapping[str, str]


def parse(lines: Iterable[str]) -> FilterTable:
    """Parse the output of iptables-save for one table."""
    chains: dict[str, list[list[str]]] = {}
    policies: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            name, policy, *_ = line[1:].split()
            policies[name] = policy
        elif line.startswith("-A "):
            _, name, *words = _words(line)
            chains.setdefault(name, []).append(words)
    return FilterTable(chains, policies)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def verdict(table: FilterTable, packet: ForwardedPacket) -> Outcome:
    """Return whether chain FORWARD accepts or drops a packet, or "maybe". Without the chain everything passes."""
    outcome = _walk(table, "FORWARD", packet, DEPTH)
    if outcome in ("accept", "drop", "maybe"):
        return outcome
    passes = table.policies.get("FORWARD", "ACCEPT") == "ACCEPT"
    return "accept" if passes else "maybe" if outcome == "perhaps" else "drop"


def _walk(table: FilterTable, chain: str, packet: ForwardedPacket, depth: int) -> Outcome:
    """Return the outcome of a chain; "return" if the packet goes back to the calling chain."""
    perhaps = past = False
    for words in table.chains.get(chain, ()) if depth else ():
        fit, target, comes_back = _fit(words, packet)
        if fit == "no":
            continue
        outcome = ENDS.get(target) or _walk(table, target, packet, depth - 1)
        if fit == "yes" and outcome in ("accept", "drop", "maybe"):
            return "maybe" if outcome == "drop" and (perhaps or past) else outcome
        perhaps |= outcome in ("accept", "maybe", "perhaps")
        if target == "RETURN" or not comes_back:
            if fit == "yes":
                break
            past = True
    return "perhaps" if perhaps else "return"


def _fit(words: Sequence[str], packet: ForwardedPacket) -> tuple[Fit, str, bool]:
    """Return whether a rule matches the packet, its target, and whether the packet returns from the target's chain."""
    fits: set[Fit] = set()
    target, comes_back = "", True
    rest = iter(words)
    for word in rest:
        turned = word == "!"
        option = next(rest, "") if turned else word
        if not option.startswith("-"):
            continue
        value = next(rest, "") if option in _ASKED or option in MEANINGLESS or option in ("-j", "-g") else ""
        if option in ("-j", "-g"):
            target, comes_back = value, option == "-j"
            break  # what follows are the target's own options
        if option not in MEANINGLESS:
            fits.add(_turned(_ASKED[option](value, packet), turned=turned) if option in _ASKED else "maybe")
    return "no" if "no" in fits else "maybe" if "maybe" in fits else "yes", target, comes_back


def _turned(fit: Fit, *, turned: bool) -> Fit:
    return {"yes": "no", "no": "yes", "maybe": "maybe"}[fit] if turned else fit  # type: ignore[return-value]


def _destination(value: str, packet: ForwardedPacket) -> Fit:
    network = _network(value)
    return _yes(ip_address(packet.goes_to) in network) if network and packet.goes_to else "maybe"


def _source(value: str, _packet: ForwardedPacket) -> Fit:
    network = _network(value)
    return "yes" if network and network.prefixlen == 0 else "maybe"


def _network(value: str) -> IPv4Network | IPv6Network | None:
    """Return the network; None for a mask with holes, which iptables accepts."""
    try:
        return ip_network(value)
    except ValueError:
        return None


def _arrives(value: str, packet: ForwardedPacket) -> Fit:
    fits = {_device(value, name) for name in packet.arrives}
    return _yes(fits.pop()) if len(fits) == 1 else "maybe"


def _leaves(value: str, packet: ForwardedPacket) -> Fit:
    return _yes(_device(value, packet.leaves)) if packet.leaves else "maybe"


def _state(value: str, _packet: ForwardedPacket) -> Fit:
    return _yes(not STATES.isdisjoint(value.split(",")))


def _device(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _yes(fits: bool) -> Fit:  # noqa: FBT001 what was found out
    return "yes" if fits else "no"


_ASKED = {
    "-d": _destination,
    "-s": _source,
    "-i": _arrives,
    "-o": _leaves,
    "--ctstate": _state,
    "--state": _state,
}
