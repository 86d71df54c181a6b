"""The state for the next run: before the rules are written, and when the run has ended."""

from collections.abc import Mapping
from dataclasses import replace

from nplconf.model import Plan, PodRef, PortMapping, RuleKey
from nplconf.plan import cooling
from nplconf.plan.cooling import Cooling
from nplconf.plan.live import numbers
from nplconf.plan.state import State
from nplconf.publish import annotation
from nplconf.publish.denials import Denials
from nplconf.run import aliases
from nplconf.run.decision import Decision
from nplconf.run.inputs import Inputs
from nplconf.run.observed import orphaned
from nplconf.run.target import Target


def before_writing(target: Target, inputs: Inputs, stay: tuple[PortMapping, ...], denied: Denials) -> State:
    """Return the state once the target is in force. It is saved before the rules are written.

    So a run that is killed in between loses no owner of a port.

    Args:
        target: What the node must have.
        inputs: What every step reads.
        stay: Live mappings whose rules stay although the plan does not have them.
        denied: The denials that still hold.

    """
    observed = inputs.observed
    state, plan = observed.state, _with(target.plan, stay)
    used = {m.node_port for m in (*plan.mappings, *target.aliases) if m.via == "dnat"}
    live, known = aliases.without(inputs.live, state.aliases), state.plan.mappings if state.plan else ()
    before = live if known == live else (*known, *live)
    released = numbers([m for m in before if m.node_port not in used])
    ended = (Cooling(a.key.node_port, a.owner, observed.now) for a in state.aliases if a.key.node_port not in used)
    started = cooling.with_start_times(state.cooling, now=observed.now, rebooted=state.boot != observed.boot)
    waiting = (*ended, *started)
    return replace(
        state,
        boot=observed.boot,
        cluster=state.cluster or plan.cluster,
        plan=_with(plan, orphaned(observed, plan)),
        cooling=cooling.freed(released, used, waiting, now=observed.now),
        empty_seen=not inputs.pods,
        addresses=target.addresses,
        denials=denied,
        unasked=target.unasked.since,
        aliases=aliases.next_state(target.aliases, inputs.live, observed),
    )


def _with(plan: Plan, left: tuple[PortMapping, ...]) -> Plan:
    """Return the plan with mappings that could not be removed, which the next run must know of."""
    if not left:
        return plan
    return replace(plan, mappings=tuple(sorted((*plan.mappings, *left), key=lambda m: m.key)))


def at_end(
    decision: Decision,
    in_place: tuple[PortMapping, ...],
    annotations: Mapping[PodRef, str | None] | None,
    denied: Denials,
) -> State:
    """Return the state once the run has ended.

    Args:
        decision: What the run was to do.
        in_place: The mappings that were seen in place.
        annotations: The annotation of each Pod as it is now; None where the run writes none.
        denied: The denials with those of this run.

    """
    state = replace(
        decision.next_state, writing=False, unserved=_unserved(decision.plan.mappings, in_place), denials=denied
    )
    if annotations is None:
        return state
    digests = {pod.key: annotation.digest(text) for pod, text in annotations.items() if text is not None}
    return replace(state, annotations=digests)


def _unserved(planned: tuple[PortMapping, ...], in_place: tuple[PortMapping, ...]) -> tuple[RuleKey, ...]:
    """Return the places of planned mappings that are not in place."""
    if planned == in_place:  # as in most runs
        return ()
    present = {(m.node_port, m.family, m.protocol) for m in in_place}
    return tuple(m.key for m in planned if m.via == "dnat" and (m.node_port, m.family, m.protocol) not in present)
