"""The Kubernetes Events of a run: creates what `publish.events` decides, and updates the state file."""

import contextlib
from dataclasses import replace

from nplconf.cluster import Cluster
from nplconf.model import Plan
from nplconf.node import NodeAccess
from nplconf.plan.state import State
from nplconf.publish.events import WAITING, Outcome, due, unannounced

__all__ = ["Outcome", "create_events"]


def create_events(outcome: Outcome, cluster: Cluster, node: NodeAccess, next_state: State, last: Plan | None) -> None:
    """Create the Events that are due, and save which ones were created.

    An Event that cannot be created is no failure of the run: the next run tries again.

    Args:
        outcome: The plan, the snapshot, and the annotations after the run.
        cluster: Where Events are created.
        node: Where the state is saved.
        next_state: The state that the run has left, with the Events of earlier runs.
        last: The plan of the run before.

    """
    events, after, waiting = due(outcome, last, next_state.announced, next_state.waiting)
    later = cluster.post_events(events, outcome.plan.node) if events else ()
    announced = unannounced(after, next_state.announced, later)
    waiting = (*(event.topic for event in later), *waiting)[:WAITING]
    if (announced, waiting) != (next_state.announced, next_state.waiting):
        with contextlib.suppress(OSError):
            node.save(replace(next_state, writing=False, announced=announced, waiting=waiting), "")
