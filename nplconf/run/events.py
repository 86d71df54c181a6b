"""The Events of a run: decided purely (`publish.events`), created, remembered in the state file."""

import contextlib
from dataclasses import replace

from nplconf.cluster import Cluster
from nplconf.model import Plan
from nplconf.node import Node
from nplconf.plan.state import State
from nplconf.publish.events import WAITING, Outcome, due, unannounced

__all__ = ["Outcome", "tell"]


def tell(outcome: Outcome, cluster: Cluster, node: Node, next_state: State, last: Plan | None) -> None:
    """Create what is due. kept: the state that was left, with what was said before; last: the plan of the run before.

    Nothing that fails here is a failure of the run: what could not be said is said by the next one.
    """
    events, after, waiting = due(outcome, last, next_state.said, next_state.waiting)
    later = cluster.post_events(events, outcome.plan.node) if events else ()
    said = unannounced(after, next_state.said, later)
    waiting = (*(event.topic for event in later), *waiting)[:WAITING]
    if (said, waiting) != (next_state.said, next_state.waiting):
        with contextlib.suppress(OSError):
            node.save(replace(next_state, writing=False, said=said, waiting=waiting), "")
