"""Why a Pod, Service or node port is or is not mapped: a few lines that end in the command that mends it. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from nplconf.decision import Decision, subject
from nplconf.desired.names import label, subdomain
from nplconf.desired.pods import host_ports, running
from nplconf.desired.services import node_ports
from nplconf.model import ENABLED, ClusterState, Cooling, Mapping, Pod, Protocol, Service, Skipped
from nplconf.observed import Observed
from nplconf.plan import cooling
from nplconf.settings import Settings
from nplconf.verify import Row, Verified

LINES = 15
"""What fits on a screen beside the question."""


class PodName(NamedTuple):
    """namespace/name of a Pod."""

    key: str


class ServiceName(NamedTuple):
    """namespace/name of a Service."""

    key: str


class NodePort(NamedTuple):
    """A number of the node, for one protocol."""

    protocol: Protocol
    number: int


What = PodName | ServiceName | NodePort


@dataclass(frozen=True, slots=True)
class Facts:
    """Both worlds, and what was decided from them."""

    cluster: ClusterState
    observed: Observed
    decision: Decision
    verified: Verified
    settings: Settings

    @property
    def node(self) -> str:
        """The node's name."""
        return self.settings.node


@dataclass(frozen=True, slots=True)
class Explanation:
    """answer: one sentence. reasons: what it rests on, the most telling first. mend: commands that change it."""

    answer: str
    reasons: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """At most `LINES` lines; of reasons that are too many the first, and how many more there are."""
        ends = [f"  mend it: {command}" for command in dict.fromkeys(self.mend)][:3]
        room = LINES - 1 - len(ends)
        reasons = [f"  {reason}" for reason in dict.fromkeys(self.reasons)]
        if len(reasons) > room:
            reasons = [*reasons[: room - 1], f"  and {len(reasons) - room + 1} more"]
        return [self.answer, *reasons, *ends]


_PORT = re.compile(r"[1-9][0-9]{0,4}")


def parse(text: str) -> What:
    """What is asked for: namespace/name, svc/namespace/name or tcp/NUMBER. Raises ValueError that says so."""
    match text.split("/"):
        case [("tcp" | "udp") as protocol, number]:
            if _PORT.fullmatch(number) and int(number) < 65536:
                return NodePort(protocol, int(number))
            raise ValueError(f"{number!r} is no port number")
        case ["svc", namespace, name] if label(namespace) and label(name):
            return ServiceName(f"{namespace}/{name}")
        case [namespace, name] if label(namespace) and subdomain(name):
            return PodName(f"{namespace}/{name}")
    raise ValueError(f"{text!r} is neither a Pod (namespace/name), a Service (svc/namespace/name) nor tcp/NUMBER")


def explain(what: What, facts: Facts) -> Explanation:
    """The answer for one of them; what does not exist has one, too."""
    if isinstance(what, PodName):
        found = _pod(what.key, facts)
    elif isinstance(what, ServiceName):
        found = _service(what.key, facts)
    else:
        found = _number(what, facts)
    blocked = facts.decision.blocked
    if blocked and blocked.kind != "cluster" and found.mend:
        option = "--allow-empty" if blocked.kind == "empty" else "--max-delete 100"
        return Explanation(
            found.answer, (f"a limit stops apply: {blocked.message}", *found.reasons), (f"nplconf apply {option}",)
        )
    return found


# --- a Pod -----------------------------------------------------------------------------------------------------------


def _pod(key: str, facts: Facts) -> Explanation:
    rows = [row for row in facts.verified.rows if row.mapping.pod.key == key]
    pod = next((p for p in running(facts.cluster.pods, facts.node) if p.ref.key == key), None)
    if pod is None:
        return _no_pod(key, rows, facts)
    skipped = [s for s in facts.decision.plan.skipped if s.pod == key]
    waiting = [p for p in facts.decision.pending if p.pod.key == key]
    wanted = [row for row in rows if row.rule != "extra" and (row.mapping.pod_ip or row.rule != "na")]
    reasons = [*_of_rows(rows, facts), *_of_skipped(skipped), *_of_waiting(key, facts)]
    mend = [*_mend(rows, facts), *([_new_plan(facts)] if waiting else [])]
    if not wanted and not skipped and not waiting:
        more, ask = _unselected(pod, facts)
        return Explanation(f"Pod {key} is not mapped: {more[0]}", (*more[1:], *reasons), (*ask, *mend))
    whole = "is mapped" if all(row.ok for row in rows) else "is not mapped as it must be"
    return Explanation(f"Pod {key} on {facts.node} {whole if wanted else 'is not mapped'}", tuple(reasons), tuple(mend))


def _no_pod(key: str, rows: list[Row], facts: Facts) -> Explanation:
    reasons = []
    where = facts.cluster.elsewhere.get(key)
    if where:
        reasons.append(f"it runs on {where}: ask there")
    elif where == "":
        reasons.append("it has no node yet")
    if any(p.ref.key == key and p.node == facts.node for p in facts.cluster.pods):
        reasons.append("a Pod of that name has ended")
    reasons += [*_of_rows(rows, facts), *_of_waiting(key, facts)]
    reasons += [_cools(c, facts) for c in _cooling(facts) if c.owner.pod == key]
    mend = _mend(rows, facts)
    if any(s.mapping.pod.key == key for s in facts.decision.stale):
        mend.append(_new_plan(facts))
    return Explanation(f"no such Pod runs on {facts.node}: {key}", tuple(reasons), tuple(mend))


def _unselected(pod: Pod, facts: Facts) -> tuple[list[str], list[str]]:
    """Why no Service asks for a Pod, and the commands that make one ask."""
    near = [s for s in facts.cluster.services if s.selector and s.namespace == pod.ref.namespace and _selects(s, pod)]
    if not near:
        return ["no Service selects it"], []
    if any(s.enabled for s in near):
        return ["the Services that select it have no port that could be mapped"], []
    return [f"the annotation is missing on Service {', '.join(s.key for s in near)}"], [_asking(s) for s in near]


def _selects(service: Service, pod: Pod) -> bool:
    return all(pod.labels.get(name) == value for name, value in service.selector.items())


def _asking(service: Service) -> str:
    return f"kubectl annotate service -n {service.namespace} {service.name} {ENABLED}=true --overwrite"


# --- a Service -------------------------------------------------------------------------------------------------------


def _service(key: str, facts: Facts) -> Explanation:
    service = next((s for s in facts.cluster.services if s.key == key), None)
    rows = [row for row in facts.verified.rows if key in row.mapping.services]
    if service is None:
        return Explanation(f"no such Service: {key}", tuple(_of_rows(rows, facts)), tuple(_mend(rows, facts)))
    mend = _mend(rows, facts)
    if not service.enabled:
        missing = f'the annotation {ENABLED}: "true" is missing'
        return Explanation(
            f"Service {key} is not mapped: it does not ask",
            (missing, *_of_rows(rows, facts)),
            (_asking(service), *mend),
        )
    here = [p for p in running(facts.cluster.pods, facts.node) if p.ref.namespace == service.namespace]
    selected = [p for p in here if service.selector and _selects(service, p)]
    skipped = [s for s in facts.decision.plan.skipped if s.service == key]
    pods = {p.ref for p in selected}
    waiting = [p for p in facts.decision.pending if p.pod in pods]
    reasons = [*_of_rows(rows, facts), *_of_skipped(skipped)]
    reasons += [f"{p.pod.key}:{p.pod_port}/{p.protocol} is pending: {p.reason}" for p in waiting]
    if not service.selector:
        reasons.append("it has no selector, so no Pod is its own")
    elif not selected:
        reasons.append(f"no such Pod runs on {facts.node}: none has its labels")
    mend += [_new_plan(facts)] if waiting else []
    count = len({row.mapping.owner for row in rows if row.rule != "extra"})
    answer = f"Service {key} has {count} mapped Pod port{'s' * (count != 1)} on {facts.node}"
    return Explanation(answer, tuple(reasons), tuple(mend))


# --- a number --------------------------------------------------------------------------------------------------------


def _number(asked: NodePort, facts: Facts) -> Explanation:
    name = f"{asked.protocol}/{asked.number}"
    rows = [row for row in facts.verified.rows if row.mapping.node_port == asked.number]
    mine = [row for row in rows if row.mapping.protocol == asked.protocol]
    if mine:
        whose = ", ".join(dict.fromkeys(_whose(row.mapping) for row in mine))
        return Explanation(f"{name} is for {whose}", tuple(_of_rows(mine, facts)), tuple(_mend(mine, facts)))
    if rows:
        whose = ", ".join(dict.fromkeys(_whose(row.mapping) for row in rows))
        reasons = ("one number is for one Pod port, whatever the protocol", *_of_rows(rows, facts))
        return Explanation(f"{name} is not mapped: its number is for {whose}", reasons, tuple(_mend(rows, facts)))
    if stale := next((s for s in facts.decision.stale if s.mapping.node_port == asked.number), None):
        reason = f"the reviewed plan has it for {_whose(stale.mapping)}: {stale.reason}"
        return Explanation(f"{name} is withheld", (reason,), (_new_plan(facts),))
    if asked.number not in facts.settings.port_range:
        return Explanation(
            f"{name} is not mapped: outside --port-range {facts.settings.port_range}",
            tuple(_others(asked.number, facts)),
        )
    return _unused(name, asked.number, facts)


def _unused(name: str, number: int, facts: Facts) -> Explanation:
    """A number of the range that nobody is mapped to."""
    taken = [t for t in facts.observed.holds.taken if t.number == number]
    if taken:
        who = next((t.by for t in taken if t.by), "a process that /proc does not tell")
        protocols = " and ".join(dict.fromkeys(t.protocol for t in taken))
        return Explanation(f"{name} is taken: {who} has it ({protocols})", (), (_who_has(number),))
    if others := _others(number, facts):
        return Explanation(f"{name} is not mapped: its number is somebody else's", tuple(others))
    for cool in _cooling(facts):
        if cool.number == number:
            return Explanation(f"{name} is free for its last owner only", (_cools(cool, facts),))
    reasons = [] if facts.observed.holds.available else [f"the hold is missing: {facts.observed.holds.message}"]
    return Explanation(f"{name} is free", tuple(reasons), tuple(_mend_hold(number, facts) if reasons else ()))


def _others(number: int, facts: Facts) -> list[str]:
    """Who has a number of the node without us."""
    found = node_ports(facts.cluster.services) | host_ports(running(facts.cluster.pods, facts.node))
    return [f"it is {found[number]}"] if number in found else []


# --- sentences -------------------------------------------------------------------------------------------------------


def _of_rows(rows: Iterable[Row], facts: Facts) -> Iterator[str]:
    failed = {f.subject: f.message for f in facts.decision.failures}
    for row in rows:
        mapping = row.mapping
        services = f" for {', '.join(mapping.services)}" if mapping.services else ""
        why = failed.get(subject(mapping), "") or _why(mapping, facts)
        yield f"{_place(mapping)} -> {_target(mapping)}{services}: {_state(row)}{f' ({why})' if why else ''}"


def _place(mapping: Mapping) -> str:
    return f"{mapping.protocol}{'' if mapping.family == 'IPv4' else '6'}/{mapping.node_port}"


def _target(mapping: Mapping) -> str:
    if not mapping.pod_ip:
        return _whose(mapping)
    address = mapping.pod_ip if mapping.family == "IPv4" else f"[{mapping.pod_ip}]"
    return f"{_whose(mapping)} at {address}"


def _whose(mapping: Mapping) -> str:
    return f"{mapping.pod.key}:{mapping.pod_port}" if mapping.pod.name else "nobody that its rule names"


def _state(row: Row) -> str:
    """In place, or which of the three facts is not as it must be."""
    facts = (("rule", row.rule), ("hold", row.hold), ("annotation", row.annotation))
    wrong = [f"{name} {fact}" for name, fact in facts if fact not in ("ok", "na")]
    if wrong:
        return ", ".join(wrong)
    return "its own hostPort, advertised" if row.mapping.via == "hostPort" else "rule, hold and annotation are in place"


def _why(mapping: Mapping, facts: Facts) -> str:
    """What the next run is about to do to a mapping, and why."""
    changes = (
        c for c in facts.decision.diff.changes if c.mapping.key == mapping.key and c.mapping.pod.key == mapping.pod.key
    )
    return next((f"apply will {c.action} it: {c.reason}" for c in changes), "")


def _of_skipped(skipped: Iterable[Skipped]) -> Iterator[str]:
    for row in skipped:
        where = f"{row.pod}:{row.pod_port}" if row.pod else f"port {row.pod_port}"
        rule = f" [{row.rule}]" if row.rule else ""
        yield f"{where}/{row.protocol} of {row.service} is skipped: {row.reason}: {row.message}{rule}"


def _of_waiting(key: str, facts: Facts) -> Iterator[str]:
    """What a reviewed plan says, or does not say, of a Pod."""
    decision = facts.decision
    for stale in decision.stale:
        if stale.mapping.pod.key == key:
            yield f"{_place(stale.mapping)} is stale in the reviewed plan, and withheld: {stale.reason}"
    for waiting in decision.pending:
        if waiting.pod.key == key:
            yield f"port {waiting.pod_port}/{waiting.protocol} is pending until the next review: {waiting.reason}"


def _cooling(facts: Facts) -> tuple[Cooling, ...]:
    observed, settings = facts.observed, facts.settings
    rebooted = observed.state.boot != observed.boot
    return cooling.current(observed.state.cooling, now=observed.now, period=settings.cool_down, rebooted=rebooted)


def _cools(cool: Cooling, facts: Facts) -> str:
    left = facts.settings.cool_down - (facts.observed.now - cool.freed_at)
    return f"{cool.number} cools down for {cool.owner.pod}:{cool.owner.port}, {max(1, round(left))} s more"


# --- commands --------------------------------------------------------------------------------------------------------


def _mend(rows: Iterable[Row], facts: Facts) -> list[str]:
    """The commands that bring these rows in order; none when they are."""
    rows = tuple(rows)
    held = (_mend_hold(row.mapping.node_port, facts) for row in rows if row.hold == "missing")
    wrong = any({row.rule, row.annotation} - {"ok", "na"} for row in rows)
    return [*dict.fromkeys(chain.from_iterable(held)), *(["nplconf apply"] if wrong else [])]


def _mend_hold(number: int, facts: Facts) -> list[str]:
    """A number that is not held although there is a daemon is somebody's: who he is comes first."""
    return [_who_has(number)] if facts.observed.holds.available else ["systemctl start nplconf-hold.service"]


def _who_has(number: int) -> str:
    return f"ss -lntup 'sport = :{number}'"


def _new_plan(facts: Facts) -> str:
    return f"nplconf render --node {facts.node} --out {facts.node}.yaml, and have it reviewed"
