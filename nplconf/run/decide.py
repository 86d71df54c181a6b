"""The order in which a run decides, without any effect: target, eligible mappings, changes, limits, rules, repairs.

A limit that is met blocks removals; then the target is made again with the ports of these mappings reserved.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from nplconf.cache import Cache
from nplconf.desired import node_name
from nplconf.desired.last_addresses import addressed
from nplconf.errors import BadDataError
from nplconf.model import Change, ClusterState, Failure, Family, Node, Plan, PodPort, PortMapping
from nplconf.plan import limits
from nplconf.plan.diff import Diff, diff
from nplconf.plan.limits import Blocked, Evidence
from nplconf.plan.state import State
from nplconf.publish import annotation, life
from nplconf.rules import foreign
from nplconf.run import adoption, identity, next_state, reasons
from nplconf.run.aliases import ENDED, NEW, owners
from nplconf.run.blocked import beside_agent, block_all, nothing, without_addresses, without_node
from nplconf.run.decision import UNBOUND, Bounds, Decision
from nplconf.run.decision_options import Options
from nplconf.run.eligible import Eligible, eligible
from nplconf.run.findings import findings
from nplconf.run.in_force import in_force
from nplconf.run.inputs import Inputs
from nplconf.run.observed import Observed, live_now, orphaned
from nplconf.run.publication import Publication
from nplconf.run.repairs import with_repairs
from nplconf.run.target import Target, target, with_aliases
from nplconf.run.wanted_rules import known_rules, rules_for, together
from nplconf.run.withdrawals import old_ports, withdrawals


def decide(
    cluster: ClusterState,
    observed: Observed,
    options: Options,
    bounds: Bounds = UNBOUND,
    *,
    writable: bool = True,
    keep_state: bool = False,
    cache: Cache | None = None,
) -> Decision:
    """Return what a run does.

    Args:
        cluster: The snapshot.
        observed: The node as it was read.
        options: The options of the run.
        bounds: A reviewed plan, or a policy.
        writable: Annotations are written, and not only reported.
        keep_state: The next state is the last one: nothing of this run is remembered.
        cache: Results of earlier runs.

    Raises:
        BadDataError: A file does not have this node.

    """
    if stopped := beside_agent(observed, options):
        return stopped
    try:
        node = node_name.existing(cluster, options.node, options.node_origin, options.config)
    except BadDataError as err:
        return without_node(err, observed, options, served=cluster.served)
    known = observed.state
    used = addressed(node, known, dict(options.node_ips), lambda: live_now(observed, options))
    blocked = _other_cluster(known, cluster, node, bounds)
    if blocked or used is None:
        return block_all(blocked or without_addresses(node), observed, options)
    pods = cluster.on(options.node)
    cache = cache or Cache()
    live = in_force(observed, options, (pod.ref for pod in pods), cache)
    inputs = Inputs(observed, options, live, pods, writable, cache)
    make = partial(target, cluster, used, inputs, bounds)
    draft = _draft(inputs, make())
    leaving = _leaving(draft)
    evidence = _evidence(draft, inputs, cluster if leaving else None)
    limit = limits.limit(inputs.live, leaving, evidence, max_delete=options.max_delete)
    if limit:
        stay = limit.mappings
        draft = _draft(inputs, make(stay, limits.reserved(stay, draft.target.plan)), stay)
    return _complete(
        inputs,
        draft,
        known if keep_state else identity.adopted(_next_state(inputs, draft), cluster, node),
        blocked=limit,
        warnings=tuple(filter(None, (identity.renamed(known, cluster),))),
        degraded=(used.problem,) if used.problem else (),
    )


def trust(plan: Plan, observed: Observed, options: Options, own: Collection[str] = ()) -> Decision:
    """Return what a run does that trusts the addresses of a plan and reads no cluster. Every Pod counts as running.

    Args:
        plan: The plan.
        observed: The node as it was read.
        options: The options of the run.
        own: The node's addresses. A row that leads to one of them fails, because it would open a service of the node.

    """
    if stopped := beside_agent(observed, options):
        return stopped
    if blocked := identity.foreign_plan(observed.state, plan, None):
        return block_all(blocked, observed, options)
    inward = [row for row in plan.mappings if row.via == "dnat" and row.pod_ip in own]
    plan = replace(plan, mappings=tuple(row for row in plan.mappings if row not in inward)) if inward else plan
    made = Target(plan, {family: (ip,) for family, ip in plan.node_ips.items()})
    inputs = Inputs(observed, options, live_now(observed, options))
    draft = _draft(inputs, made)
    limit = limits.limit(inputs.live, _removals(draft), Evidence(), max_delete=options.max_delete)
    if limit:
        draft = _draft(inputs, made, limit.mappings)
    failures = (Failure("rule", m.subject, f"{m.pod_ip} is this node's own address", refused=True) for m in inward)
    return _complete(inputs, draft, _without_cluster(inputs, draft), blocked=limit, failures=tuple(failures))


def heal(
    plan: Plan,
    observed: Observed,
    options: Options,
    addresses: Mapping[Family, tuple[str, ...]],
    *,
    keep_state: bool = False,
    why_delete: str = "",
) -> Decision:
    """Return what brings the node to a plan as it is, without a cluster and without limits. No annotation is written.

    Args:
        plan: The plan.
        observed: The node as it was read.
        options: The options of the run.
        addresses: The node's addresses that rules match.
        keep_state: The next state is the last one.
        why_delete: The reason of each deleted mapping, in place of the usual ones.

    """
    inputs = Inputs(observed, options, live_now(observed, options))
    draft = _draft(inputs, Target(plan, addresses), why_delete=why_delete)
    return _complete(inputs, draft, observed.state if keep_state else _without_cluster(inputs, draft))


def _other_cluster(known: State, cluster: ClusterState, node: Node, bounds: Bounds) -> Blocked | None:
    """Return a limit where the snapshot or the reviewed plan is of another cluster than the node."""
    blocked = identity.other_cluster(known, cluster, node)
    if bounds.plan and not blocked:
        blocked = identity.foreign_plan(known, bounds.plan, cluster.identity)
    return blocked


# --- what the limits judge -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """The mappings of a run and its changes. The limits judge it; then a decision is made of it.

    Attributes:
        target: What the node must have.
        stay: Live mappings whose rules stay although the plan does not have them.
        eligible: The mappings that are to be in force.
        diff: The changes from the live mappings to these.

    """

    target: Target
    stay: tuple[PortMapping, ...]
    eligible: Eligible
    diff: Diff


def _draft(inputs: Inputs, made: Target, blocked: tuple[PortMapping, ...] = (), why_delete: str = "") -> Draft:
    """Return the draft for a target. blocked: live mappings whose removal is blocked. why_delete: see `heal`."""
    made = with_aliases(made, inputs)
    stay = (*blocked, *made.unasked.states)
    chosen = eligible(made, inputs, (*stay, *made.aliases))
    going = (lambda _: why_delete) if why_delete else _why_going(inputs, made, chosen)
    coming = partial(_why_coming, aliases=made.aliases)
    found = diff(inputs.live, chosen.rows, why_add=coming, why_delete=going)
    if made.review:
        found = reasons.of_review(found, made.review)
    return Draft(made, stay, chosen, found)


def _why_coming(mapping: PortMapping, aliases: Collection[PortMapping]) -> str:
    return NEW if mapping in aliases else "new"


def _why_going(inputs: Inputs, made: Target, chosen: Eligible) -> Callable[[PortMapping], str]:
    going = reasons.going(inputs.pods, made.plan, chosen.rows)
    aliases = owners(inputs.observed.state.aliases)

    def why(mapping: PortMapping) -> str:
        reason = going(mapping)
        return ENDED if reason == reasons.DOUBLED and aliases.get(mapping.key) == mapping.owner else reason

    return why


def _removals(draft: Draft) -> tuple[Change, ...]:
    return tuple(change for change in draft.diff.changes if change.action == "delete")


def _leaving(draft: Draft) -> tuple[Change, ...]:
    """Return the removals. A lingering mapping counts as one: it is withdrawn now and removed later."""
    states = draft.target.unasked.states
    lingering = (m for m in draft.eligible.rows if states.get(m) == "lingering") if states else ()
    return (*_removals(draft), *(Change("delete", "not-selected", m, m) for m in lingering))


def _evidence(draft: Draft, inputs: Inputs, cluster: ClusterState | None) -> Evidence:
    """Return what the limits need to know. cluster: None where no mapping is removed, as in most runs."""
    return Evidence(
        running={(pod.ref.key, ip) for pod in inputs.pods if not pod.terminated for ip in pod.ips} if cluster else (),
        services={service.key for service in cluster.services} if cluster else (),
        not_reviewed={(PodPort(p.pod.key, p.pod_port), p.protocol) for p in draft.target.pending},
        any_pod=bool(inputs.pods),
        accept_empty=inputs.options.allow_empty or inputs.observed.state.empty_seen,
    )


# --- the decision ----------------------------------------------------------------------------------------------------


def _next_state(inputs: Inputs, draft: Draft) -> State:
    return next_state.before_writing(draft.target, inputs, draft.stay, draft.eligible.denials)


def _without_cluster(inputs: Inputs, draft: Draft) -> State:
    """Return the next state of a run that has not seen whether the node has Pods."""
    return replace(_next_state(inputs, draft), empty_seen=inputs.observed.state.empty_seen)


def _complete(
    inputs: Inputs,
    draft: Draft,
    state: State,
    *,
    blocked: Blocked | None = None,
    failures: tuple[Failure, ...] = (),
    warnings: tuple[str, ...] = (),
    degraded: tuple[str, ...] = (),
) -> Decision:
    """Return the decision. state: for the next run; failures: further ones, after those of the draft."""
    made, rows, observed = draft.target, draft.eligible.rows, inputs.observed
    publication = _publication(inputs, made)
    taken = foreign.hits(observed.foreign, rows, made.addresses)
    reachable = tuple(m for m in rows if m.via != "dnat" or m.key not in taken) if taken else rows
    due = publication.patches(inputs.pods, reachable, inputs.cache)
    wanted = known_rules(rows, made.addresses, made.plan.port_range, observed, inputs.cache)
    found = findings(made, inputs, rows, wanted, taken)
    changes = nothing(inputs.live) if made.inexact else with_repairs(draft.diff, made, inputs, wanted, found, due)
    patches = () if made.inexact else due
    old = old_ports(changes.changes, rows) if inputs.pods else ()  # without Pods nothing is published
    interim = rules_for(together(rows, old), made.addresses, made.plan.port_range, observed) if old else wanted
    return Decision(
        plan=made.plan,
        eligible=rows,
        live=inputs.live,
        diff=changes,
        wanted=wanted,
        interim=interim,
        addresses=made.addresses,
        patches=patches,
        findings=found,
        failures=(*draft.eligible.failures, *_unreadable(inputs, made), *_not_reviewed(made), *failures),
        next_state=state,
        publication=publication,
        old_ports=old,
        withdrawals=withdrawals(patches, inputs.pods, publication, rows, old),
        unseen=_unseen(inputs, rows),
        taken=taken,
        stale=made.stale,
        pending=made.pending,
        inexact=made.inexact,
        blocked=blocked,
        warnings=warnings,
        degraded=degraded,
        next_end=life.next_end(made.unasked.since, inputs.options.terms, observed.now),
    )


def _publication(inputs: Inputs, made: Target) -> Publication:
    terms, rest = inputs.options.terms, made.unasked.states
    states = life.asked_for(made.plan.mappings, inputs.pods, terms, inputs.observed.now)
    unlisted = {m for m, state in states.items() if not life.is_listed(state, terms, asked=True)}
    form = inputs.options.form
    states |= {**rest, **dict.fromkeys(made.aliases, "alias")}
    hidden = frozenset((*unlisted, *rest, *made.aliases))
    served = adoption.served(inputs.observed.antrea, made.plan.mappings, inputs.pods)
    return Publication(made.plan, made.pending, form, states, hidden, served)


def _unreadable(inputs: Inputs, made: Target) -> tuple[Failure, ...]:
    """Return a failure for each mapping to remove in a family that cannot be read."""
    observed = inputs.observed
    return tuple(Failure("rule", m.subject, observed.unreadable[m.family]) for m in orphaned(observed, made.plan))


def _unseen(inputs: Inputs, rows: tuple[PortMapping, ...]) -> frozenset[PortMapping]:
    """Return the mappings of families that cannot be read, and that annotations list already."""
    unreadable = inputs.observed.unreadable
    return annotation.on_pods((m for m in rows if m.family in unreadable), inputs.pods) if unreadable else frozenset()


def _not_reviewed(made: Target) -> tuple[Failure, ...]:
    """Return a failure for each row of the reviewed plan whose port cannot be had."""
    refused = made.review.refused if made.review else ()
    return tuple(Failure("number", row.subject, why, refused=True) for row, why in refused)
