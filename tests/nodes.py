"""What a run reads from a node, as values, for tests of decisions without a kernel."""

from collections.abc import Sequence

import worlds

from nplconf.desired.addresses import matched_addresses
from nplconf.model import FAMILIES, Family, Holds, Plan, PortMapping, PortRange, Taken
from nplconf.plan.cooling import Cooling
from nplconf.plan.state import Loaded, State
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import NatTable, read
from nplconf.rules.masquerade import masquerade_sources
from nplconf.run.observed import Observed
from nplconf.settings import Settings

NOW = 5000.0


def settings(node: str = worlds.NODE, port_range: PortRange = worlds.RANGE, **options: object) -> Settings:
    return Settings(node=node, port_range=port_range, **options)  # type: ignore[arg-type]


def table(family: Family, *live: PortMapping, port_range: PortRange = worlds.RANGE) -> NatTable:
    """Our chains as a run leaves them; none at all without a mapping."""
    rows = [m for m in live if m.family == family]
    addresses = matched_addresses(worlds.node(), worlds.NODE_IPS)[family]
    places = masquerade_sources((), {m.pod_ip for m in rows})
    return tree.build(rows, addresses, places, port_range, family) if rows else read("")


def observed(
    *live: PortMapping,
    remembered: Plan | None = None,
    cooling: Sequence[Cooling] = (),
    taken: Sequence[Taken] = (),
    holds: Holds | None = None,
    port_range: PortRange = worlds.RANGE,
) -> Observed:
    """A node with these mappings in its kernel. remembered: the last plan, of this boot."""
    state = State(boot="this", cluster="uid-kubernetes", plan=remembered, cooling=tuple(cooling))
    return Observed(
        loaded=Loaded(state),
        boot="this",
        now=NOW,
        backend="iptables-nft",
        rules=tree,
        found={family: table(family, *live, port_range=port_range) for family in FAMILIES},
        unreadable={},
        leftovers={},
        holds=holds or Holds(available=True, ranges=(port_range,), taken=tuple(taken)),
        routes=(),
    )
