"""Take a node over from Antrea: the rules of nplconf are in place before those of Antrea are removed.

A takeover is two runs, and one transaction per chain of Antrea between them. Until these transactions, the rules of
Antrea serve the same Pods under the same node ports. Afterwards the rules of nplconf do. So no connection is refused,
and a flow whose target stays has its conntrack entry still. The second run publishes the mappings whose packets a rule
of Antrea led to another Pod.
"""

from dataclasses import dataclass, replace

from nplconf.cluster import Cluster
from nplconf.model import Failure
from nplconf.node import NodeAccess
from nplconf.run import adoption
from nplconf.run.adoption import Adopted
from nplconf.run.decision import UNBOUND, Bounds, Decision
from nplconf.run.outcome import Result
from nplconf.run.reconcile import apply, review
from nplconf.settings import Settings


@dataclass(frozen=True, slots=True)
class Adoption:
    """The result of a takeover, or with `--check` what it would be. rows: what becomes of each node port of Antrea."""

    decision: Decision
    rows: tuple[Adopted, ...]
    result: Result | None = None


def preview(cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds = UNBOUND) -> Adoption:
    """Return what becomes of each node port of Antrea; change nothing. A live agent blocks it, also with --force."""
    seen = review(cluster, node, replace(settings, force=False), bounds)
    if seen.decision.unusable:
        return Adoption(seen.decision, ())
    aliases = {m.key for m in seen.decision.aliases}
    rows = adoption.review(
        seen.observed.antrea,
        seen.decision.plan,
        seen.pods or (),
        {m.key for m in seen.decision.live},
        aliases,
        settings.cool_down,
    )
    return Adoption(seen.decision, rows)


def adopt(cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds = UNBOUND) -> Adoption:
    """Take the node over; the caller holds the lock."""
    settings = replace(settings, force=False)
    chains = node.antrea().chains
    found = preview(cluster, node, settings, bounds)
    if found.decision.unusable or found.decision.inexact:
        return replace(found, result=Result(found.decision))
    first = apply(cluster, node, settings, bounds)
    if not chains:
        return replace(found, result=first)
    wanted = (*first.decision.plan.mappings, *first.decision.aliases)
    cut_off = adoption.unserved(chains, wanted, {m.key for m in first.in_place})
    if cut_off:
        failures = adoption.not_removed(chains, cut_off)
        return replace(found, result=replace(first, failures=(*first.failures, *failures)))
    failures = node.remove_antrea(chains)
    flows = (*first.done, *adoption.removals(chains, first.decision.eligible))
    failures += node.flush_flows(flows, first.decision.eligible, first.decision.addresses, everything=False)
    return replace(found, result=_joined(first, apply(cluster, node, settings, bounds), failures))


def _joined(first: Result, second: Result, failures: tuple[Failure, ...]) -> Result:
    """Return the second result with what the first one did."""
    return replace(
        second,
        done=(*first.done, *second.done),
        patches=tuple({patch.pod: patch for patch in (*first.patches, *second.patches)}.values()),
        failures=(*failures, *second.failures),
    )
