"""The sentences of answers, and their commands."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from nplconf.explain.question import ExplainFacts
from nplconf.lists import listed
from nplconf.model import GATE, Change, Pod, PortMapping, Skipped, Stale
from nplconf.plan import cooling
from nplconf.plan.cooling import Cooling
from nplconf.run.verify import Row


def of_rows(rows: Iterable[Row], facts: ExplainFacts) -> Iterator[str]:
    """Yield a sentence per mapping: whether rule, hold and annotation are in place, and what apply does with it."""
    failed = {f.subject: f.message for f in facts.decision.failures}
    for row in rows:
        mapping = row.mapping
        services = f" for {listed(mapping.services)}" if mapping.services else ""
        change = _change(mapping, facts)
        does = f"apply {_DOES.get(change.action, change.action)} it ({change.reason})" if change else ""
        taker = facts.decision.taken.get(mapping.key)
        taken = f"a foreign rule takes the packets first ({taker}); remove that rule" if taker else ""
        why = failed.get(mapping.subject, "") or taken or does
        state = _state(row, change, _life(mapping, facts))
        yield f"{_place(mapping)} -> {_target(mapping)}{services}: {state}{f'; {why}' if why else ''}"


def _place(mapping: PortMapping) -> str:
    return f"{mapping.protocol}{'' if mapping.family == 'IPv4' else '6'}/{mapping.node_port}"


def _target(mapping: PortMapping) -> str:
    if not mapping.pod_ip:
        return whose(mapping)
    address = mapping.pod_ip if mapping.family == "IPv4" else f"[{mapping.pod_ip}]"
    return f"{whose(mapping)} at {address}"


def whose(mapping: PortMapping) -> str:
    """Return namespace/name:podPort."""
    return f"{mapping.pod.key}:{mapping.pod_port}" if mapping.pod.name else "an unknown owner"


def _life(mapping: PortMapping, facts: ExplainFacts) -> str:
    """Say why a mapping that has a rule is not in the annotation; "" for one that is to be there."""
    state = facts.decision.publication.states.get(mapping)
    if state == "draining" and mapping not in facts.decision.publication.unlisted:
        return "draining, the rule stays until the Pod has ended"
    return _LIFE.get(state, "") if state else ""


def _state(row: Row, change: Change | None, life: str) -> str:
    """Say that all is in place, or which of rule, hold and annotation is not. life: why it is not to be published."""
    facts = (("rule", row.rule), ("hold", row.hold), ("annotation", row.annotation))
    extra = [name for name, fact in facts if fact == "extra"]
    wrong = [f"{name} {fact}" for name, fact in facts if fact not in ("ok", "na", "extra")]
    if extra:
        why = life or _UNWANTED.get(change.reason if change else "", "nothing asks for it")
        wrong.insert(0, f"{' and '.join(extra)} exist{'s' * (len(extra) == 1)} but {why}")
    if wrong or life:
        return ", ".join(wrong or [life])
    return "its own hostPort, advertised" if row.mapping.via == "hostPort" else "rule, hold and annotation are in place"


def _change(mapping: PortMapping, facts: ExplainFacts) -> Change | None:
    """Return what the next run does with a mapping."""
    changes = (
        c for c in facts.decision.diff.changes if c.mapping.key == mapping.key and c.mapping.pod.key == mapping.pod.key
    )
    return next(changes, None)


_LIFE = {
    "draining": "draining, withdrawn from the annotation, the rule stays until the Pod has ended",
    "lingering": "withdrawn from the annotation, the rule stays for --linger seconds",
    "alias": "an alias from Antrea, unpublished, the rule stays for the cool-down",
    "in-place": "the rule is in place, published once the Pod's containers are ready",
}
"""Why a mapping in a state of `publish.life` is not in the annotation."""
_DOES = {"add": "adds", "change": "changes", "delete": "removes", "repair": "repairs"}
_UNWANTED = {"not-selected": "no Service asks for it", "pod-gone": "the Pod is gone"}


def of_skipped(skipped: Iterable[Skipped]) -> Iterator[str]:
    """Yield a sentence per skipped row: the reason, and the policy rule that decided."""
    for row in skipped:
        where = f"{row.pod}:{row.ports}" if row.pod else f"port {row.ports}"
        rule = f" [{row.rule}]" if row.rule else ""
        yield f"{where} of {row.service} is skipped: {row.reason}: {row.message}{rule}"


def of_waiting(key: str, facts: ExplainFacts) -> Iterator[str]:
    """Yield a sentence per Pod port that waits for a review."""
    decision = facts.decision
    yield from of_stale(stale for stale in decision.stale if stale.mapping.pod.key == key)
    for waiting in decision.pending:
        if waiting.pod.key == key:
            yield f"port {waiting.pod_port}/{waiting.protocol} is pending until the next review: {waiting.reason}"


def of_stale(rows: Iterable[Stale]) -> Iterator[str]:
    """Yield a sentence per stale row of the reviewed plan, with the reason."""
    for row in rows:
        what = f"{_place(row.mapping)} for {whose(row.mapping)}"
        yield f"{what} is stale in the reviewed plan: {row.reason}"


def of_gate(pod: Pod) -> Iterator[str]:
    """Yield a sentence about the readiness gate of a Pod that is not ready because of it."""
    if pod.gated and not pod.terminating and (pod.condition is None or pod.condition.status != "True"):
        state = f"{pod.condition.reason}: {pod.condition.message}" if pod.condition else "no run has written it yet"
        yield f"its readiness gate {GATE} is not met: {state}"


def of_pins(kind: Literal["pod", "service"], key: str, facts: ExplainFacts) -> Iterator[str]:
    """Yield a sentence per port that the policy pins to a Pod or a Service."""
    for pin in facts.policy.pins if facts.policy else ():
        if (pin.kind, pin.subject) == (kind, key):
            yield f"the policy pins its port {pin.pod_port} to node port {pin.node_port} [{pin.rule}]"


def of_reservations(number: int, facts: ExplainFacts) -> Iterator[str]:
    """Yield a sentence per policy entry that reserves a port."""
    for pin in facts.policy.pins if facts.policy else ():
        if pin.node_port == number:
            yield f"the policy pins it to {pin.kind} {pin.subject}, port {pin.pod_port} [{pin.rule}]"
    for reserved in facts.policy.ranges if facts.policy else ():
        if number in reserved.ports:
            yield f"the policy keeps {reserved.ports} free for namespace {reserved.namespace} [{reserved.rule}]"


def cooling_now(facts: ExplainFacts) -> tuple[Cooling, ...]:
    """Return the ports that cool down now."""
    observed, settings = facts.observed, facts.settings
    rebooted = observed.state.boot != observed.boot
    return cooling.current(observed.state.cooling, now=observed.now, period=settings.cool_down, rebooted=rebooted)


def cools(cool: Cooling, facts: ExplainFacts) -> str:
    """Return the sentence about a port that cools down: for which owner, and how long."""
    left = facts.settings.cool_down - (facts.observed.now - cool.freed_at)
    return f"{cool.number} cools down for {cool.owner.pod}:{cool.owner.port}, {max(1, round(left))} s more"


# --- commands -------------------------------------------------------------------------------------------------------


def fixes(rows: Iterable[Row], facts: ExplainFacts) -> list[str]:
    """Return the commands that fix these rows, none if they are in place."""
    rows = tuple(rows)
    held = (fix_hold(row.mapping.node_port, facts) for row in rows if row.hold == "missing")
    taken = facts.decision.taken  # only the removal of the foreign rule helps there
    wrong = any({row.rule, row.annotation} - {"ok", "na"} for row in rows if row.mapping.key not in taken)
    return [*dict.fromkeys(chain.from_iterable(held)), *(["nplconf apply"] if wrong else [])]


def fix_hold(number: int, facts: ExplainFacts) -> list[str]:
    """Return the commands for a port that is not held. If the daemon runs, another process has the port."""
    return [who_has(number)] if facts.observed.holds.available else ["systemctl start nplconf-hold.service"]


def fix_policy(skipped: Iterable[Skipped], facts: ExplainFacts) -> list[str]:
    """Return the commands that edit the policy rules behind skipped rows."""
    rules = dict.fromkeys(row.rule for row in skipped if row.rule)
    return [f"change {listed(rules)} in {facts.settings.policy}, and have it reviewed"] if rules else []


def who_has(number: int) -> str:
    """Return the command that lists the sockets on a port with their processes, outgoing connections included."""
    return f"ss -antup 'sport = :{number}'"


def new_plan(facts: ExplainFacts) -> str:
    """Return the command that writes a new plan for review."""
    return f"nplconf render --node {facts.node} --out {facts.node}.yaml, and have it reviewed"
