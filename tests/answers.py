"""The cluster and the node as `explain` sees them, and its answer as lines."""

import nodes
import worlds

from nplconf.explain import ExplainFacts, explain, parse
from nplconf.model import ClusterState, Node, Pod, Service
from nplconf.publish import annotation
from nplconf.run.decide import decide
from nplconf.run.decision import UNBOUND, Bounds
from nplconf.run.observed import Observed
from nplconf.run.verify import verify
from nplconf.settings import Settings

NUMBER = 61044
LIVE = worlds.mapping(NUMBER)
TOLD = annotation.render([annotation.entry(LIVE)])


def facts(
    *objects: Node | Pod | Service,
    at: Observed | None = None,
    state: ClusterState | None = None,
    bounds: Bounds = UNBOUND,
) -> ExplainFacts:
    settings = Settings(node=worlds.NODE, policy="policy.yaml")
    cluster = state or worlds.cluster(worlds.node(), *objects)
    seen = at or nodes.observed(LIVE)
    decision = decide(cluster, seen, settings, bounds)
    here = tuple(p for p in cluster.pods if p.node == worlds.NODE)
    verified = verify(decision, seen, here, no_hold=False)
    return ExplainFacts(cluster, seen, decision, verified, settings, bounds.policy)


def asked(what: str, known: ExplainFacts) -> list[str]:
    lines = explain(parse(what), known).lines()
    assert 1 <= len(lines) <= 15
    return lines
