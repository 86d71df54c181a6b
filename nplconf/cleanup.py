"""Leaving a node: every annotation and every rule of ours goes, in both backends."""

from collections.abc import Sequence

from nplconf.cluster import Cluster
from nplconf.errors import UnavailableError
from nplconf.model import FAMILIES, Change, Failure, Mapping
from nplconf.node import Node
from nplconf.plan import cooling
from nplconf.plan.live import live_mappings, numbers
from nplconf.plan.state import Loaded, State
from nplconf.publish import patches
from nplconf.reconcile import keep
from nplconf.rules import tree
from nplconf.settings import Settings


def clean(node: Node, cluster: Cluster | None, settings: Settings) -> tuple[Failure, ...]:
    """Remove every annotation of this node's Pods and every rule of ours, in both backends; what could not be.

    Who had which number is kept, so that a later install gives the same ones again. Of a node that is clean nobody
    says which cluster it was of: it may join another.
    """
    failures: list[Failure] = []
    if cluster:
        pods = [pod for pod in cluster.snapshot(settings.node).pods if pod.node == settings.node]
        gone = patches.final(pods, ())
        failures += cluster.patch(gone) if gone else ()
    failures += _clean_node(node)
    return tuple(failures)


def _clean_node(node: Node) -> list[Failure]:
    failures: list[Failure] = []
    loaded = node.load()
    live: list[Mapping] = []
    for family in FAMILIES:
        try:
            have = node.read(family, whole=True)
        except UnavailableError as err:
            failures.append(Failure("rule", family, str(err)))
            continue
        known = loaded.state.plan.mappings if loaded.state.plan else ()
        live += live_mappings(tree.live(have, family), known, {})
        if not have.empty:
            settled = node.settle(family, have, lambda _: None, (), ())
            failures += (Failure("rule", family, message) for message in settled.errors)
    failures += node.clear_leftovers(node.leftovers())
    changes = [Change("delete", "cleanup", mapping, mapping) for mapping in live]
    failures += node.forget(changes, (), loaded.state.addresses, everything=False) if changes else ()
    if loaded.text or live:
        failures += _forget_plan(node, loaded, live, cluster=loaded.state.cluster if failures else None)
    return failures


def _forget_plan(node: Node, loaded: Loaded, live: Sequence[Mapping], cluster: str | None) -> list[Failure]:
    before = numbers(loaded.state.plan.mappings) if loaded.state.plan else {}
    freed = cooling.freed(before | numbers(live), {}, loaded.state.cooling, now=node.now())
    clean = State(boot=node.boot, cluster=cluster, cooling=freed, addresses=loaded.state.addresses)
    _, problems = keep(node, clean, loaded.text)
    return [Failure("state", "state file", problem) for problem in problems]
