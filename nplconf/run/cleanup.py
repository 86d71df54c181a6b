"""Remove every annotation and every rule of nplconf from a node, in all backends, or list them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nplconf.cluster import Cluster
from nplconf.desired.node_name import find_node
from nplconf.errors import NplconfError, UnavailableError
from nplconf.model import Backend, Change, Failure, Family, Patch, PortMapping
from nplconf.node import NodeAccess
from nplconf.plan import cooling
from nplconf.plan.live import live_mappings, numbers
from nplconf.plan.state import Loaded, State
from nplconf.publish import patches
from nplconf.rules import Goal, Reading
from nplconf.run import identity
from nplconf.run.act import save_state
from nplconf.settings import Settings


def clean(node: NodeAccess, cluster: Cluster | None, settings: Settings) -> tuple[Failure, ...]:
    """Remove the annotations of this node's Pods and the rules of nplconf in every backend. Return what failed.

    The state file still has the owner of each node port, so that a later installation gives the same ones. It names no
    cluster any more, so that the node can join another one. If the cluster fails, its annotations stay, and the rules
    are removed.
    """
    loaded = node.load()
    left = _withdraw(cluster, loaded.state, settings) if cluster else ()
    return (*left, *_clean_node(node, loaded))


def unread(why: str) -> Failure:
    """Return the failure for a cluster that cannot be read."""
    return Failure("annotation", "the annotations of this node's Pods", f"left as they are: {why}")


def _withdraw(cluster: Cluster, state: State, settings: Settings) -> tuple[Failure, ...]:
    """Withdraw the annotations. state: names the cluster whose Pods this node has annotated."""
    try:
        gone = _withdrawals(cluster, state, settings)
        return cluster.patch(gone) if gone else ()
    except NplconfError as err:
        return (unread(str(err)),)


def _withdrawals(cluster: Cluster, state: State, settings: Settings) -> tuple[Patch, ...]:
    """Return the patches that withdraw all annotations. Raises NplconfError, also for another cluster."""
    name = settings.node
    snapshot = cluster.snapshot(name)
    if identity.other_cluster(state, snapshot, find_node(snapshot, name)):
        raise UnavailableError(f"this is another cluster ({snapshot.identity}) than this node's ({state.cluster})")
    return patches.final(snapshot.on(name), (), settings.form)


def _clean_node(node: NodeAccess, loaded: Loaded) -> list[Failure]:
    reading = node.read(whole=True)
    failures = [Failure("rule", family, why) for family, why in reading.unreadable.items()]
    live = _live(node, loaded, reading)
    full = {family: have for family, have in reading.found.items() if not node.rules.is_empty(have)}
    if full:
        synced = node.sync(Goal(full, lambda *_: None))
        failures += (Failure("rule", family, message) for family, message in synced.errors)
    failures += node.clear_leftovers(node.leftovers())
    changes = [Change("delete", "cleanup", mapping, mapping) for mapping in live]
    failures += node.flush_flows(changes, (), loaded.state.addresses, everything=False) if changes else ()
    if loaded.text or live:
        failures += _forget_plan(node, loaded, live, same_cluster=bool(failures))
    return failures


def _live(node: NodeAccess, loaded: Loaded, reading: Reading[Any]) -> tuple[PortMapping, ...]:
    known = loaded.state.plan.mappings if loaded.state.plan else ()
    rules = [rule for family, have in reading.found.items() for rule in node.rules.live(have, family)]
    return tuple(live_mappings(rules, known, {}))


@dataclass(frozen=True, slots=True)
class Preview:
    """The rules and annotations that `clean` would remove.

    Attributes:
        removals: The live mappings.
        patches: The annotations that would be withdrawn.
        leftovers: IP families with rules in a backend that is not in use.
        failures: What cannot be read.

    """

    removals: tuple[Change, ...]
    patches: tuple[Patch, ...]
    leftovers: Mapping[Backend, tuple[Family, ...]] = field(hash=False)
    failures: tuple[Failure, ...]


def preview(node: NodeAccess, cluster: Cluster | None, settings: Settings) -> Preview:
    """Return what `clean` would remove; change nothing."""
    loaded, reading = node.load(), node.read(whole=True)
    failures = [Failure("rule", family, why) for family, why in reading.unreadable.items()]
    withdrawn: tuple[Patch, ...] = ()
    try:
        withdrawn = _withdrawals(cluster, loaded.state, settings) if cluster else ()
    except NplconfError as err:
        failures.append(unread(str(err)))
    removals = tuple(Change("delete", "cleanup", mapping, mapping) for mapping in _live(node, loaded, reading))
    return Preview(removals, withdrawn, node.leftovers(), tuple(failures))


def _forget_plan(node: NodeAccess, loaded: Loaded, live: Sequence[PortMapping], *, same_cluster: bool) -> list[Failure]:
    before = numbers(loaded.state.plan.mappings) if loaded.state.plan else {}
    freed = cooling.freed(before | numbers(live), (), loaded.state.cooling, now=node.now())
    clean = State(boot=node.boot, cooling=freed, addresses=loaded.state.addresses)
    if same_cluster:
        known = loaded.state
        clean = replace(clean, cluster=known.cluster, former_clusters=known.former_clusters, node_uid=known.node_uid)
    problems = save_state(node, clean, loaded.text).problems
    return [Failure("state", "state file", problem) for problem in problems]
