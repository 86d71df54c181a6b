"""The decision about the rules that an Antrea agent left: the owner of each, and the node ports that stay. Pure.

The owner of a rule follows from its address and port. A node port that leads to two addresses, or whose address two
Pods have, has no owner.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from nplconf.desired.ports import Previous
from nplconf.model import (
    PROTOCOLS,
    Change,
    Failure,
    Family,
    Plan,
    Pod,
    PodPort,
    PodRef,
    PortMapping,
    Protocol,
    RuleKey,
)
from nplconf.plan.cooling import Cooling
from nplconf.plan.live import NOBODY
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry
from nplconf.rules import foreign
from nplconf.rules.antrea import Antrea, AntreaChain, AntreaRule
from nplconf.rules.foreign import ForeignRule

Verdict = Literal["kept", "moved", "withdrawn", "removed"]


class Adopted(NamedTuple):
    """The decision about one node port of Antrea.

    Attributes:
        number: The node port.
        family: The IP family.
        protocol: The protocol.
        owner: The Pod and port that it leads to; None where no Pod of this node has the address.
        verdict: kept: the mapping has the same node port; moved: it has another one; removed: no Service asks for it;
            withdrawn: it is in an annotation, and no rule serves it.
        message: A sentence.

    """

    number: int
    family: Family
    protocol: Protocol
    owner: PodPort | None
    verdict: Verdict
    message: str

    @property
    def subject(self) -> str:
        """The node port and its owner, for messages."""
        six = "6" if self.family == "IPv6" else ""
        return f"{self.protocol}{six}/{self.number}" + (f" {self.owner.pod}:{self.owner.port}" if self.owner else "")


def _owners(pods: Iterable[Pod]) -> dict[str, PodRef]:
    """Return the Pod of each address that exactly one running Pod has."""
    running = [pod for pod in pods if not pod.terminated and not pod.host_network]
    count = Counter(ip for pod in running for ip in set(pod.ips))
    return {ip: pod.ref for pod in running for ip in pod.ips if count[ip] == 1}


def served(left: Antrea, rows: Iterable[PortMapping], pods: Iterable[Pod]) -> frozenset[PortMapping]:
    """Return the rows that a rule of the chains serves and the Pod's annotation names.

    Their entries must stay until nplconf serves them, also while it cannot, as without the hold daemon.
    """
    if not left.chains:
        return frozenset()
    led = {(r.number, r.family, r.protocol, r.address, r.port) for r in left.rules}
    found = (m for m in rows if m.via == "dnat" and (*m.key, m.pod_ip, m.pod_port) in led)
    return annotation.on_pods(found, pods)


def numbers(left: Antrea, pods: Iterable[Pod]) -> dict[PodPort, int]:
    """Return the node port of each owner by the chains.

    Of several, one that the Pod's annotation names counts first: no Service may ask for the others any more. Then TCP
    counts before UDP, IPv4 before IPv6, and the lowest.
    """
    pods = tuple(pods) if left.chains else ()
    owners = _owners(pods)
    published = {(ip, e.pod_port, e.node_port, e.protocol) for pod in pods for ip, e in _entries(pod)}

    def rank(rule: AntreaRule) -> tuple[bool, int, str, int]:
        named = (rule.address, rule.port, rule.number, rule.protocol) in published
        return not named, PROTOCOLS.index(rule.protocol), rule.family, rule.number

    found: dict[PodPort, int] = {}
    for rule in sorted(left.rules, key=rank):
        if pod := owners.get(rule.address):
            found.setdefault(PodPort(pod.key, rule.port), rule.number)
    return found


def _entries(pod: Pod) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a Pod's annotation, each with each address of the Pod."""
    found = annotation.parse(pod.annotation)
    yield from ((ip, entry) for ip in pod.ips for entry in found)


def owned(left: Antrea, pods: Iterable[Pod]) -> Iterator[tuple[RuleKey, PodPort]]:
    """Yield the place and the owner of each rule of the chains that leads to a Pod of this node."""
    owners = _owners(pods) if left.chains else {}
    for rule in left.rules:
        if pod := owners.get(rule.address):
            yield RuleKey(rule.number, rule.family, rule.protocol), PodPort(pod.key, rule.port)


def with_numbers(previous: Previous, left: Antrea, pods: Iterable[Pod], now: float) -> Previous:
    """Add the node ports of the chains to what allocation knows, after the live rules and the state file.

    No node port of a chain is given to another owner, because the rules of the chain may come first.
    """
    if not left.chains:
        return previous
    owners, known = _owners(pods), numbers(left, pods)
    waiting = [
        Cooling(rule.number, PodPort(pod.key, rule.port), now)
        for rule in left.rules
        if (pod := owners.get(rule.address))
    ]
    strangers = {rule.number for rule in left.rules if rule.address not in owners}
    given = {number for source in (*previous.current, known) for number in source.values()}
    return replace(
        previous,
        numbers=(*previous.numbers, known),
        taken=previous.taken | (strangers - given),
        cooling=(*previous.cooling, *waiting),
    )


# --- what is said of each --------------------------------------------------------------------------------------------


def review(
    left: Antrea,
    plan: Plan,
    pods: Sequence[Pod],
    live: Collection[RuleKey] = (),
    aliases: Collection[RuleKey] = (),
    period: int = 0,
) -> tuple[Adopted, ...]:
    """Return what becomes of each rule of the chains, and of each entry of an annotation that no rule serves.

    Args:
        left: The chains.
        plan: What the node must have.
        pods: This node's Pods.
        live: The rules of nplconf. The entries that they serve are not Antrea's.
        aliases: The rules whose numbers stay as aliases.
        period: For how many seconds.

    """
    owners = _owners(pods)
    rows = {(m.owner, m.protocol, m.family): m for m in plan.mappings if m.via == "dnat"}
    why = {(row.pod, row.pod_port): row.reason for row in plan.skipped}
    published = {(pod.ref.key, e.node_port, e.pod_port) for pod in pods for e in annotation.parse(pod.annotation)}
    found = [_of_rule(rule, owners.get(rule.address), plan, rows, why, published) for rule in left.rules]
    found = [_with_alias(a, period) if RuleKey(a.number, a.family, a.protocol) in aliases else a for a in found]
    served = {(a.owner, a.protocol, a.family, a.number) for a in found}
    served |= {(m.owner, m.protocol, m.family, m.node_port) for m in plan.mappings if m.key in live}
    return tuple(sorted((*found, *_of_annotations(pods, rows, served)), key=lambda a: a[:3]))


def _with_alias(found: Adopted, period: int) -> Adopted:
    return found._replace(message=f"{found.message}; {found.number} stays as an unpublished alias for {period} s")


_Rows = Mapping[tuple[PodPort, Protocol, Family], PortMapping]


def _of_rule(
    rule: AntreaRule,
    pod: PodRef | None,
    plan: Plan,
    rows: _Rows,
    why: Mapping[tuple[str | None, int | str], str],
    published: set[tuple[str, int, int]],
) -> Adopted:
    def adopted(verdict: Verdict, message: str, owner: PodPort | None = None) -> Adopted:
        return Adopted(rule.number, rule.family, rule.protocol, owner, verdict, message)

    if pod is None:
        return adopted("removed", f"no Pod here has the address {rule.address}: a rule that Antrea did not delete")
    owner = PodPort(pod.key, rule.port)
    row = rows.get((owner, rule.protocol, rule.family))
    if row is None:
        reason = why.get((owner.pod, owner.port), "not-selected")
        return adopted("removed", f"no Service asks for it, or it cannot be served ({reason})", owner)
    if row.node_port != rule.number:
        return adopted("moved", f"to {row.node_port}: {_moved(rule, row, plan)}", owner)
    unnamed = (owner.pod, rule.number, owner.port) not in published
    return adopted("kept", "no annotation named it; it is published now" if unnamed else "same number", owner)


def _moved(rule: AntreaRule, row: PortMapping, plan: Plan) -> str:
    if rule.number not in plan.port_range:
        return f"{rule.number} lies outside --port-range {plan.port_range}"
    return f"all protocols and IP families of {row.pod.key}:{row.pod_port} have one number"


def _of_annotations(
    pods: Iterable[Pod], rows: _Rows, served: set[tuple[PodPort | None, Protocol, Family, int]]
) -> Iterable[Adopted]:
    for pod in pods:
        for e in annotation.parse(pod.annotation):
            owner = PodPort(pod.ref.key, e.pod_port)
            if (owner, e.protocol, e.family, e.node_port) in served:
                continue
            row = rows.get((owner, e.protocol, e.family))
            if row and row.node_port == e.node_port:
                yield Adopted(e.node_port, e.family, e.protocol, owner, "kept", "its rule was lost; it is made again")
            else:
                now = f"{row.node_port} is published instead" if row else "nothing asks for it"
                yield Adopted(e.node_port, e.family, e.protocol, owner, "withdrawn", f"no rule serves it; {now}")


# --- before the chains go --------------------------------------------------------------------------------------------


def unserved(chains: Iterable[AntreaChain], wanted: Iterable[PortMapping], there: set[RuleKey]) -> tuple[str, ...]:
    """Return the wanted mappings that the chains serve and nplconf does not yet.

    Removing the chains would interrupt them.
    """
    led = {(r.number, r.family, r.protocol, r.address, r.port) for chain in chains for r in chain.rules}
    rows = (m for m in wanted if m.via == "dnat" and (*m.key, m.pod_ip, m.pod_port) in led)
    return tuple(m.subject for m in rows if m.key not in there)


def not_removed(chains: Iterable[AntreaChain], subjects: Sequence[str]) -> tuple[Failure, ...]:
    """Return the failures of a removal that would cut mappings off."""
    names = ", ".join(subjects[: foreign.NAMED])
    more = f" and {len(subjects) - foreign.NAMED} more" if len(subjects) > foreign.NAMED else ""
    why = f"the chain stays: its rules serve {names}{more}, which nplconf does not serve yet"
    return tuple(Failure("adopt", chain.place, why) for chain in chains)


def foreign_rules(chains: Iterable[AntreaChain]) -> tuple[ForeignRule, ...]:
    """Return the rules of the chains as foreign rules that come first."""
    return tuple(_foreign(rule, chain) for chain in chains for rule in chain.rules)


def _foreign(rule: AntreaRule, chain: AntreaChain) -> ForeignRule:
    address = f"[{rule.address}]" if rule.family == "IPv6" else rule.address
    place = (rule.family, rule.protocol, rule.number, rule.number, chain.place)
    return ForeignRule(*place, str(rule), (), f"{address}:{rule.port}")


def removals(chains: Iterable[AntreaChain], wanted: Iterable[PortMapping]) -> tuple[Change, ...]:
    """Return the removal of each rule whose node port leads nowhere afterwards, so that its flows are flushed."""
    keys = {m.key for m in wanted}
    rules = {
        rule for chain in chains for rule in chain.rules if RuleKey(rule.number, rule.family, rule.protocol) not in keys
    }
    rows = (PortMapping(r.number, r.protocol, r.family, "", NOBODY, r.address, r.port) for r in sorted(rules))
    return tuple(Change("delete", "adopted", row, row) for row in rows)
