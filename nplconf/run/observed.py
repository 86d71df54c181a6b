"""The node as a run has read it, and what follows from it: live mappings, earlier node ports, held ports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from nplconf.desired.addresses import given
from nplconf.desired.ports import Previous
from nplconf.model import Backend, Family, Holds, Plan, PodRef, PortMapping, PortRange
from nplconf.plan import cooling
from nplconf.plan.live import live_mappings
from nplconf.plan.state import Loaded, State
from nplconf.rules import RuleBackend
from nplconf.rules.antrea import Antrea
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes
from nplconf.run.decision_options import Options


@dataclass(frozen=True, slots=True)
class Observed:
    """The node as it was read.

    Attributes:
        loaded: The state file.
        boot: The boot ID.
        now: Seconds of the boot-time clock.
        backend: The backend in use.
        rules: The pure half of this backend.
        found: The rules of nplconf that it has read, by family.
        unreadable: Why the rules of a family could not be read.
        leftovers: The families in which another backend has rules of nplconf.
        holds: The response of the hold daemon.
        routes: The routes of the node.
        foreign: Foreign rules that take packets to node ports before the rules of nplconf do.
        antrea: What an Antrea agent has left.

    """

    loaded: Loaded
    boot: str
    now: float
    backend: Backend
    rules: RuleBackend[Any] = field(hash=False)
    found: Mapping[Family, Any] = field(hash=False)
    unreadable: Mapping[Family, str] = field(hash=False)
    leftovers: Mapping[Backend, tuple[Family, ...]] = field(hash=False)
    holds: Holds
    routes: Routes
    foreign: tuple[ForeignRule, ...] = ()
    antrea: Antrea = Antrea()  # noqa: RUF009 - a NamedTuple

    @property
    def state(self) -> State:
        """The state that the last run left."""
        return self.loaded.state

    @property
    def remembered(self) -> Plan | None:
        """The last good plan if it is of this boot: after a reboot Pods have other addresses."""
        return self.state.plan if self.state.boot == self.boot else None


def live_now(observed: Observed, options: Options, pods: Iterable[PodRef] = ()) -> tuple[PortMapping, ...]:
    """Return the live mappings. What a rule does not say comes from the state file.

    Args:
        observed: The node as it was read.
        options: The options of the run.
        pods: This node's Pods, for hashed tags that the state file does not explain.

    """
    rules = [rule for family, found in observed.found.items() for rule in observed.rules.live(found, family)]
    known = observed.state.plan.mappings if observed.state.plan else ()
    advertised = observed.state.plan.node_ips if observed.state.plan else given(options.node_ips)
    return live_mappings(rules, known, advertised, pods)


def orphaned(observed: Observed, plan: Plan) -> tuple[PortMapping, ...]:
    """Return the rows of the last plan that the plan does not have, in families that cannot be read.

    Their rules may still exist.
    """
    if not observed.unreadable or observed.remembered is None:
        return ()
    wanted = {m.key for m in plan.mappings}
    before = (m for m in observed.remembered.mappings if m.via == "dnat" and m.family in observed.unreadable)
    return tuple(m for m in before if m.key not in wanted)


def previous_of(live: tuple[PortMapping, ...], observed: Observed, options: Options) -> Previous:
    """Return what allocation must know: the owners by live rules first, then by the last plan, then earlier owners."""
    waiting = cooling.current(
        observed.state.cooling,
        now=observed.now,
        period=options.cool_down,
        rebooted=observed.state.boot != observed.boot,
    )
    return Previous(
        taken=_taken(observed.holds, options.port_range),
        cooling=waiting,
        before={c.owner: c.number for c in observed.state.cooling},
        freed_at=observed.now if options.cool_down else None,
        live=live,
        planned=observed.state.plan.mappings if observed.state.plan else (),
    )


@lru_cache(maxsize=2)
def held(holds: Holds) -> frozenset[int]:
    """Return the ports that are held for every protocol."""
    found = {number for span in holds.ranges for number in span.numbers}
    return frozenset(found.difference(taken.number for taken in holds.taken))


def usable(holds: Holds, options: Options) -> frozenset[int]:
    """Return the ports of the range that are held; none where the daemon holds other ports only."""
    return _usable(holds, options.port_range)


@lru_cache(maxsize=2)
def _usable(holds: Holds, ports: PortRange) -> frozenset[int]:
    return held(holds).intersection(ports.numbers)


@lru_cache(maxsize=2)
def _taken(holds: Holds, ports: PortRange) -> frozenset[int]:
    held_ports = _usable(holds, ports)
    if not held_ports:  # no new row is eligible then, so no mapping must move either
        return frozenset()
    return frozenset(ports.numbers) - held_ports
