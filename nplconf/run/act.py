"""Carries a decision out. No annotation names a missing rule at any time, not even when the run is killed.

Every step can be repeated. A failure of one mapping or Pod stops no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nplconf.cluster import Cluster
from nplconf.deadline import current
from nplconf.model import Backend, Failure, Family, Pod
from nplconf.node import NodeAccess
from nplconf.plan.state import State
from nplconf.publish import denials
from nplconf.run import annotate, next_state, outcome, write_rules
from nplconf.run.annotate import Published, Withdrawn
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed, held
from nplconf.run.outcome import Result
from nplconf.run.write_rules import Written


def act(
    decision: Decision, observed: Observed, cluster: Cluster | None, node: NodeAccess, pods: Sequence[Pod]
) -> Result:
    """Save the state, withdraw annotations, write rules, read them back, publish, save the state again.

    Args:
        decision: What to do.
        observed: The node as it was read.
        cluster: Where annotations are written; None: nowhere.
        node: Where rules are written.
        pods: This node's Pods.

    """
    goal = write_rules.rule_set(decision, observed)
    families = write_rules.differing(goal, observed, observed.found)
    current().step()
    writing = bool(families or decision.old_ports)
    # if a run is killed while it writes, nobody knows which annotations it has written
    annotations = {} if writing else decision.next_state.annotations
    begun = replace(decision.next_state, writing=writing, annotations=annotations)
    saved = save_state(node, begun, observed.loaded.text)
    withdrawn = annotate.withdraw(decision.withdrawals, cluster, pods) if families and cluster else Withdrawn(pods)
    current().step()
    written = write_rules.write(goal, observed, node, observed.found, families)
    replaced = _replace_others(observed, node, written)
    in_place = outcome.in_place(decision, written.reached)
    current().step()
    published = annotate.publish(decision, cluster, withdrawn, in_place)
    removed = _remove_unpublished(decision, observed, node, published, written)
    families = tuple(dict.fromkeys((*families, *removed.families)))
    effects = _Effects(families, withdrawn, written, replaced, published, removed)
    return _conclude(decision, observed, cluster, node, pods, effects, saved)


class _Replaced(NamedTuple):
    """The rules of other backends that were removed."""

    families: Mapping[Backend, tuple[Family, ...]]
    failures: tuple[Failure, ...] = ()


class _Removed(NamedTuple):
    """The result of the removal after publishing. families: those in which an old port was removed."""

    seen: Mapping[Family, Any]
    failures: tuple[Failure, ...] = ()
    families: tuple[Family, ...] = ()


class _Effects(NamedTuple):
    """The effects of a run, step by step. families: those that it has written."""

    families: tuple[Family, ...]
    withdrawn: Withdrawn
    written: Written
    replaced: _Replaced
    published: Published
    removed: _Removed

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What failed, in the order of the steps."""
        steps = (self.withdrawn, self.written, self.replaced, self.published, self.removed)
        return tuple(failure for step in steps for failure in step.failures)


class Saved(NamedTuple):
    """A state that was saved. text: of the file now; problems: why it could not be written."""

    text: str
    problems: tuple[str, ...] = ()


def _conclude(
    decision: Decision,
    observed: Observed,
    cluster: Cluster | None,
    node: NodeAccess,
    pods: Sequence[Pod],
    effects: _Effects,
    saved: Saved,
) -> Result:
    """Save the final state and return the result of the run. saved: the state before the rules were written."""
    published, families = effects.published, effects.families
    failures = (*decision.failures, *effects.failures)
    patches = published.patches
    if effects.withdrawn.changed:
        patches = decision.publication.patches(pods, published.in_place)
    annotations = outcome.annotations_after(pods, patches, failures) if cluster else None
    missing = outcome.absent(decision, (*published.in_place, *published.denied), failures, observed)
    failures = (*failures, *missing)
    done = outcome.done(decision, effects.removed.seen, families, observed.rules, published.in_place, failures)
    known = decision.next_state.denials
    denied = denials.added(known, published.denials, pods, decision.plan.mappings, now=observed.now)
    written = annotations if cluster and cluster.writable else None
    final = next_state.at_end(decision, published.in_place, written, denied)
    problems = saved.problems
    if families or final != decision.next_state:
        problems += save_state(node, final, saved.text).problems
    return Result(
        decision=decision,
        done=done,
        in_place=published.in_place,
        patches=patches,
        failures=tuple(outcome.named(decision, done, families, failures)),
        degraded=(*decision.degraded, *_unheld(decision, observed), *dict.fromkeys(problems)),
        warnings=(*decision.warnings, *_warnings(observed, effects.replaced.families)),
        annotations=annotations if not problems else None,
        next_state=final,
    )


def save_state(node: NodeAccess, state: State, before: str) -> Saved:
    """Save the state for the next run. before: the text of the file. A file that cannot be written is data."""
    try:
        return Saved(node.save(state, before))
    except OSError as err:
        reason = err.strerror or str(err)
        return Saved(before, (f"the state file cannot be written ({reason}): the node is brought in order without it",))


# --- the steps -------------------------------------------------------------------------------------------------------


def _replace_others(observed: Observed, node: NodeAccess, written: Written) -> _Replaced:
    """Remove the rules of other backends, in the families in which the backend in use has its own."""
    unwritten = {failure.subject for failure in written.failures if failure.step == "rule"}
    stuck = unwritten.union(observed.unreadable)
    left = {name: tuple(f for f in families if f not in stuck) for name, families in observed.leftovers.items()}
    due = {name: families for name, families in left.items() if families}
    return _Replaced(due, node.clear_leftovers(due) if due else ())


def _remove_unpublished(
    decision: Decision, observed: Observed, node: NodeAccess, published: Published, written: Written
) -> _Removed:
    """Remove the rules of denied entries, and those at old ports that no annotation names any more."""
    old = decision.old_ports
    if not (published.denied or old):
        return _Removed(written.seen)
    stay = [m for m in old if m.pod.key in published.late]
    left = frozenset(m for m in old if m.pod.key not in published.late)
    back = write_rules.take_back(published.denied | left, stay, decision, observed, node, written.seen)
    return _Removed(back.seen, back.failures, tuple(m.family for m in left))


def _unheld(decision: Decision, observed: Observed) -> list[str]:
    """Return why no port at all is eligible, where that is so."""
    if not observed.holds.available:
        return [observed.holds.message]
    ports = decision.plan.port_range
    if held(observed.holds).isdisjoint(ports.numbers):
        return [f"none of the node ports {ports} is held: nothing new is let in"]
    return []


def _warnings(observed: Observed, replaced: Mapping[Backend, Sequence[Family]]) -> tuple[str, ...]:
    places = ((name, family) for name, families in replaced.items() for family in families)
    removed = (f"the rules of nplconf in {name} ({family}) are removed" for name, family in places)
    return tuple(filter(None, (observed.loaded.warning, *removed)))
