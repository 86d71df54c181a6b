"""Foreign rules in POSTROUTING that could end or masquerade translated packets before the jump of nplconf.

Felix moves its own jump to the front whenever it is not the first rule. Two programs that both insist on the first
place would rewrite the chain for ever. So the jump of nplconf may stand behind rules that do not affect its packets. A
rule that cannot be judged (an ipset, a source address) counts as one that does: then the jump is moved to the front,
where it always works.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from nplconf.rules.foreign import covers
from nplconf.rules.iptables.match import DEPTH, ENDS, GOES_ON, LOOPBACK, Chains, ForeignMatch, Term, parse


class Flows(NamedTuple):
    """The flows that rules of nplconf have translated.

    Attributes:
        pods: The addresses of their Pods.
        devices: The devices that lead to these Pods; empty if unknown.
    """

    pods: frozenset[str]
    devices: frozenset[str] = frozenset()


class Ending(NamedTuple):
    """Whether rules could end or masquerade the flows. unknown: chains that must be read for an answer."""

    possible: bool
    unknown: frozenset[str] = frozenset()


def ends(rules: Sequence[str], chains: Chains, flows: Flows) -> Ending:
    """Return whether a rule before the jump in POSTROUTING could end translated packets, or masquerade them.

    Args:
        rules: The text of each rule before the jump.
        chains: The other chains that were read.
        flows: The translated flows.
    """
    unknown: set[str] = set()
    possible = bool(flows.pods) and _ends(rules, chains, flows, 0, unknown)
    return Ending(possible, frozenset() if possible else frozenset(unknown))


def _ends(rules: Sequence[str], chains: Chains, flows: Flows, depth: int, unknown: set[str]) -> bool:
    for text in rules:
        match = parse(text)
        matched = _matched(match.terms, flows)
        if matched == "no" or match.target in GOES_ON:
            continue
        if match.target in ENDS or (match.target == "RETURN" and depth == 0):
            if not _is_hairpin(match):
                return True
        elif match.target == "RETURN":
            if matched == "yes":
                return False
        elif match.target not in chains:
            unknown.add(match.target)
        elif depth >= DEPTH or _ends(chains[match.target], chains, flows, depth + 1, unknown):
            return True
        elif match.goto and matched == "yes":
            return False
    return False


def _is_hairpin(match: ForeignMatch) -> bool:
    """Return whether a rule masquerades only Pods that reach themselves, as nplconf does (Calico's floating IPs)."""
    named = {term.name: term.value for term in match.terms if not term.negated}
    same = named.get("-s") == named.get("-d") and named.get("-d", "/").endswith(("/32", "/128"))
    return same and match.target in ("SNAT", "MASQUERADE")


def _matched(terms: Iterable[Term], flows: Flows) -> str:
    """Return whether a rule matches the flows: "no", "yes" (all of them) or "maybe"."""
    answers = [_flow_answer(term, flows) for term in terms]
    if "no" in answers:
        return "no"
    return "maybe" if "maybe" in answers else "yes"


def _flow_answer(term: Term, flows: Flows) -> str:
    answer = _FLOWS[term.name](term.value, flows) if term.name in _FLOWS else "maybe"
    return _NOT[answer] if term.negated else answer


_NOT = {"yes": "no", "no": "yes", "maybe": "maybe"}


def _some(values: Iterable[bool]) -> str:
    found = set(values)
    return "maybe" if len(found) != 1 else ("yes" if found == {True} else "no")


def _of_protocol(value: str, _: Flows) -> str:
    return "maybe" if value in ("tcp", "udp", "sctp", "6", "17", "132") else ("yes" if value in ("all", "0") else "no")


def _out_by(value: str, flows: Flows) -> str:
    if value.endswith("+"):
        return _some(device.startswith(value[:-1]) for device in flows.devices)
    return _some(device == value for device in flows.devices)


def _of_state(value: str, _: Flows) -> str:
    return "yes" if {"DNAT", "NEW"} & set(value.split(",")) else "no"


def _marked(value: str, _: Flows) -> str:
    """Judge a match on the packet mark. nplconf sets no mark, so only the mark 0 matches its packets."""
    return "yes" if int(value.split("/", maxsplit=1)[0], 0) == 0 else "no"


def _in_set(value: str, _: Flows) -> str:
    """Judge a match on an ipset. Its content is unknown, except for Felix's set of all Pod networks."""
    return "yes" if value in ("cali40all-ipam-pools dst", "cali60all-ipam-pools dst") else "maybe"


_FLOWS: Mapping[str, Callable[[str, Flows], str]] = {
    "-p": _of_protocol,
    "-d": lambda value, flows: _some(covers(value, pod) for pod in flows.pods),
    "-s": lambda value, _: "no" if value.startswith(LOOPBACK) else "maybe",
    "-o": _out_by,
    "--ctstate": _of_state,
    "--mark": _marked,
    "--match-set": _in_set,
    "--comment": lambda _, __: "yes",
}
