"""Leaving a node: every annotation and every rule of ours goes, in both backends."""

from collections.abc import Sequence

from nplconf.cluster import Cluster
from nplconf.errors import NplconfError
from nplconf.model import Change, Failure, PortMapping
from nplconf.node import Node
from nplconf.plan import cooling
from nplconf.plan.live import live_mappings, numbers
from nplconf.plan.state import Loaded, State
from nplconf.publish import patches
from nplconf.rules import Goal
from nplconf.run.reconcile import keep
from nplconf.settings import Settings


def clean(node: Node, cluster: Cluster | None, settings: Settings) -> tuple[Failure, ...]:
    """Remove every annotation of this node's Pods and every rule of ours, in both backends; what could not be.

    Who had which number is kept, so that a later install gives the same ones again; which cluster it was is not, so
    that the node may join another one. A cluster that fails keeps its annotations, and stops nothing else.
    """
    loaded = node.load()
    left = _withdraw(cluster, loaded.state.cluster, settings.node) if cluster else ()
    return (*left, *_clean_node(node, loaded))


def unread(why: str) -> Failure:
    """What is left where the cluster cannot be asked."""
    return Failure("annotation", "the annotations of this node's Pods", f"left as they are: {why}")


def _withdraw(cluster: Cluster, known: str | None, name: str) -> tuple[Failure, ...]:
    """known: the identity of the cluster whose Pods this node's job has annotated."""
    try:
        snapshot = cluster.snapshot(name)
        if known and snapshot.identity and known != snapshot.identity:
            return (unread(f"this is another cluster ({snapshot.identity}) than this node's ({known})"),)
        gone = patches.final([pod for pod in snapshot.pods if pod.node == name], ())
        return cluster.patch(gone) if gone else ()
    except NplconfError as err:
        return (unread(str(err)),)


def _clean_node(node: Node, loaded: Loaded) -> list[Failure]:
    reading = node.read(whole=True)
    failures = [Failure("rule", family, why) for family, why in reading.unreadable.items()]
    known = loaded.state.plan.mappings if loaded.state.plan else ()
    rules = [rule for family, have in reading.found.items() for rule in node.rules.live(have, family)]
    live = live_mappings(rules, known, {})
    full = {family: have for family, have in reading.found.items() if not node.rules.is_empty(have)}
    if full:
        synced = node.sync(Goal(full, lambda *_: None))
        failures += (Failure("rule", family, message) for family, message in synced.errors)
    failures += node.clear_leftovers(node.leftovers())
    changes = [Change("delete", "cleanup", mapping, mapping) for mapping in live]
    failures += node.flush_flows(changes, (), loaded.state.addresses, everything=False) if changes else ()
    if loaded.text or live:
        failures += _forget_plan(node, loaded, live, cluster=loaded.state.cluster if failures else None)
    return failures


def _forget_plan(node: Node, loaded: Loaded, live: Sequence[PortMapping], cluster: str | None) -> list[Failure]:
    before = numbers(loaded.state.plan.mappings) if loaded.state.plan else {}
    freed = cooling.freed(before | numbers(live), {}, loaded.state.cooling, now=node.now())
    clean = State(boot=node.boot, cluster=cluster, cooling=freed, addresses=loaded.state.addresses)
    _, problems = keep(node, clean, loaded.text)
    return [Failure("state", "state file", problem) for problem in problems]
