"""Answers about a Pod or a Service: why it is or is not mapped."""

from nplconf.desired.pods import running
from nplconf.explain.question import ExplainFacts, Explanation
from nplconf.explain.sentences import (
    cooling_now,
    cools,
    fix_policy,
    fixes,
    new_plan,
    of_gate,
    of_pins,
    of_rows,
    of_skipped,
    of_stale,
    of_waiting,
)
from nplconf.lists import listed
from nplconf.model import ENABLED, Pod, Service
from nplconf.run.verify import Row


def of_pod(key: str, facts: ExplainFacts) -> Explanation:
    """Return the answer about a Pod. key: namespace/name."""
    rows = [row for row in facts.verified.rows if row.mapping.pod.key == key]
    pod = next((p for p in running(facts.cluster.pods, facts.node) if p.ref.key == key), None)
    if pod is None:
        return _no_pod(key, rows, facts)
    skipped = [s for s in facts.decision.plan.skipped if s.pod == key]
    waiting = [p for p in facts.decision.pending if p.pod.key == key]
    wanted = [row for row in rows if row.rule != "extra" and row.mapping.pod_ip]
    reasons = [*_ending(pod), *of_gate(pod), *of_rows(rows, facts), *of_skipped(skipped), *of_waiting(key, facts)]
    reasons += of_pins("pod", key, facts)
    commands = [*fixes(rows, facts), *fix_policy(skipped, facts), *([new_plan(facts)] if waiting else [])]
    if not wanted and not skipped and not waiting:
        why, ask = _unselected(pod, facts)
        return Explanation(f"Pod {key} is not mapped: {why}", tuple(reasons), (*ask, *commands))
    whole = "is mapped" if all(row.ok for row in rows) else "is not fully mapped"
    answer = f"Pod {key} on {facts.node} {whole if wanted else 'is not mapped'}"
    return Explanation(answer, tuple(reasons), tuple(commands))


def _ending(pod: Pod) -> list[str]:
    return ["it is Terminating: it was deleted, and its containers have not ended yet"] if pod.terminating else []


def _no_pod(key: str, rows: list[Row], facts: ExplainFacts) -> Explanation:
    reasons = []
    where = facts.cluster.elsewhere.get(key)
    if where:
        reasons.append(f"it runs on {where}: ask there")
    elif where == "":
        reasons.append("it has no node yet")
    if any(p.ref.key == key and p.node == facts.node for p in facts.cluster.pods):
        reasons.append("a Pod of that name has ended; its object still exists")
    reasons += [*of_rows(rows, facts), *of_waiting(key, facts)]
    reasons += [*of_pins("pod", key, facts), *(cools(c, facts) for c in cooling_now(facts) if c.owner.pod == key)]
    commands = fixes(rows, facts)
    if any(s.mapping.pod.key == key for s in facts.decision.stale):
        commands.append(new_plan(facts))
    return Explanation(f"no such Pod runs on {facts.node}: {key}", tuple(reasons), tuple(commands))


def _unselected(pod: Pod, facts: ExplainFacts) -> tuple[str, list[str]]:
    """Return why no Service asks for a Pod, and the commands that change it."""
    near = [s for s in facts.cluster.services if s.selector and s.namespace == pod.ref.namespace and _selects(s, pod)]
    if not near:
        return "no Service selects it", []
    if any(s.enabled for s in near):
        return "the Services that select it have no port that could be mapped", []
    return listed((f"Service {s.key} {_unasked(s)}" for s in near), separator="; "), [_asking(s) for s in near]


def _unasked(service: Service) -> str:
    """Say why a Service does not ask for mappings."""
    if service.enabled_value is None:
        return f'has no annotation {ENABLED}: "true"'
    return f'has the annotation {ENABLED}: {service.enabled_value}, which is not exactly "true"'


def _selects(service: Service, pod: Pod) -> bool:
    return all(pod.labels.get(name) == value for name, value in service.selector.items())


def _asking(service: Service) -> str:
    return f"kubectl annotate service -n {service.namespace} {service.name} {ENABLED}=true --overwrite"


# --- a Service -------------------------------------------------------------------------------------------------------


def of_service(key: str, facts: ExplainFacts) -> Explanation:
    """Return the answer about a Service. key: namespace/name."""
    service = next((s for s in facts.cluster.services if s.key == key), None)
    rows = [row for row in facts.verified.rows if key in row.mapping.services]
    if service is None:
        return Explanation(f"no such Service: {key}", tuple(of_rows(rows, facts)), tuple(fixes(rows, facts)))
    if not service.enabled:
        commands = (_asking(service), *fixes(rows, facts))
        answer = f"Service {key} is not mapped: it {_unasked(service)}"
        return Explanation(answer, tuple(of_rows(rows, facts)), commands)
    here = [p for p in running(facts.cluster.pods, facts.node) if p.ref.namespace == service.namespace]
    selected = {p.ref for p in here if service.selector and _selects(service, p)}
    skipped = [s for s in facts.decision.plan.skipped if s.service == key]
    waiting = [p for p in facts.decision.pending if p.pod in selected]
    reasons = [*of_rows(rows, facts), *of_skipped(skipped), *of_pins("service", key, facts)]
    stale = [s for s in facts.decision.stale if key in s.mapping.services]
    reasons += of_stale(stale)
    reasons += [f"{p.pod.key}:{p.pod_port}/{p.protocol} is pending: {p.reason}" for p in waiting]
    if not service.selector:
        reasons.append("it has no selector, so no Pod is its own")
    elif not selected:
        reasons.append(f"no such Pod runs on {facts.node}: none has its labels")
    count = len({row.mapping.owner for row in rows if row.rule != "extra"})
    answer = f"Service {key} has {count} mapped Pod port{'s' * (count != 1)} on {facts.node}"
    commands = (*fixes(rows, facts), *fix_policy(skipped, facts), *([new_plan(facts)] if waiting or stale else []))
    return Explanation(answer, tuple(reasons), commands)
