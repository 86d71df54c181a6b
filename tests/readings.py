"""A node as a run has read it, and the decision for it, both without a node."""

from dataclasses import replace
from typing import Any

from worlds import NODE, RANGE, cluster, node

from nplconf.model import Holds, Node, Pod, PortMapping, Service
from nplconf.plan.state import Loaded, State
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import read
from nplconf.run.decide import decide
from nplconf.run.decision import Bounds, Decision
from nplconf.run.observed import Observed
from nplconf.run.wanted_rules import rules_for
from nplconf.settings import Settings

SETTINGS = Settings(node=NODE)


def observed(*live: PortMapping, state: State | None = None, **facts: object) -> Observed:
    """A node that has these mappings, all of its range held, and remembers what state says."""
    given: dict[str, Any] = {
        "loaded": Loaded(state or State()),
        "boot": "boot-1",
        "now": 1000.0,
        "backend": "iptables-nft",
        "rules": tree,
        "found": {"IPv4": read(""), "IPv6": read("")},
        "unreadable": {},
        "leftovers": {},
        "holds": Holds(available=True, ranges=(RANGE,)),
        "routes": (),
    }
    if live:
        new = decide(cluster(node()), observed(), SETTINGS)
        rules = rules_for(live, new.addresses, new.plan.port_range, observed())
        given["found"] = {family: table or read("") for family, table in rules.items()}
    return Observed(**(given | facts))


def decided(*objects: Node | Pod | Service, on: Observed | None = None, sctp: bool = False, **bounds: Any) -> Decision:
    return decide(cluster(node(), *objects), on or observed(), replace(SETTINGS, sctp=sctp), Bounds(**bounds))
