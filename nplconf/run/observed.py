"""A node as a run has read it, and what follows from that: live mappings, the numbers of before, the held ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nplconf.desired.addresses import given
from nplconf.desired.ports import Previous
from nplconf.model import Backend, Family, Holds, Plan, PodRef, PortMapping
from nplconf.plan import cooling
from nplconf.plan.cooling import Cooling
from nplconf.plan.live import live_mappings, numbers
from nplconf.plan.state import Loaded, State
from nplconf.rules import RuleBackend
from nplconf.rules.antrea import Antrea
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes
from nplconf.run.decision_options import Options


@dataclass(frozen=True, slots=True)
class Observed:
    """The node as it was read. now: boot-time clock, seconds. unreadable: why a family's rules could not be read.

    rules: the pure half of the backend in use; found: what it read, by family. leftovers: the families that another
    backend has rules of nplconf in.
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
    """Rules of others that take packets to node ports before ours see them."""
    antrea: Antrea = Antrea()  # noqa: RUF009 - a NamedTuple

    @property
    def state(self) -> State:
        """What the last run left."""
        return self.loaded.state

    @property
    def remembered(self) -> Plan | None:
        """The last good plan, when it is of this boot: after a reboot Pods have other addresses."""
        return self.state.plan if self.state.boot == self.boot else None


def live_now(observed: Observed, options: Options, pods: Iterable[PodRef] = ()) -> tuple[PortMapping, ...]:
    """The mappings that the kernel has, completed from the state file, and from this node's Pods where it is lost."""
    rules = [rule for family, found in observed.found.items() for rule in observed.rules.live(found, family)]
    known = observed.state.plan.mappings if observed.state.plan else ()
    advertised = observed.state.plan.node_ips if observed.state.plan else given(options.node_ips)
    return live_mappings(rules, known, advertised, pods)


def orphaned(observed: Observed, plan: Plan) -> tuple[PortMapping, ...]:
    """Rows of the last plan that nobody wants any more, in a family that cannot be read: they may be there still."""
    if not observed.unreadable or observed.remembered is None:
        return ()
    wanted = {m.key for m in plan.mappings}
    before = (m for m in observed.remembered.mappings if m.via == "dnat" and m.family in observed.unreadable)
    return tuple(m for m in before if m.key not in wanted)


def previous_of(live: tuple[PortMapping, ...], observed: Observed, options: Options) -> Previous:
    """What allocation is to know: live rules are trusted first, then the last plan, then who had a number before."""
    known = observed.state.plan.mappings if observed.state.plan else ()
    of_rules = numbers(live)
    of_plan = of_rules if known == live else numbers(known)
    of_before = {c.owner: c.number for c in observed.state.cooling}
    waiting = cooling.current(
        observed.state.cooling,
        now=observed.now,
        period=options.cool_down,
        rebooted=observed.state.boot != observed.boot,
    )
    # A number in use is its owner's until this run ends: nobody else may have it in the same breath.
    used = {number: Cooling(number, owner, observed.now) for owner, number in (of_plan | of_rules).items()}
    reserved = {c.number: c for c in waiting} | (used if options.cool_down else {})
    return Previous((of_rules, of_plan), _taken(observed.holds, options), tuple(reserved.values()), of_before)


def held(holds: Holds) -> frozenset[int]:
    """The numbers that are held for every protocol."""
    found = {number for span in holds.ranges for number in range(span.first, span.last + 1)}
    return frozenset(found.difference(taken.number for taken in holds.taken))


def usable(holds: Holds, options: Options) -> frozenset[int]:
    """The numbers of our range that are held. A daemon that holds others alone is as good as none."""
    return held(holds).intersection(_numbers(options))


def _taken(holds: Holds, options: Options) -> frozenset[int]:
    kept = usable(holds, options)
    if not kept:  # nothing is let in at all then, so nothing is to move either
        return frozenset()
    return frozenset(_numbers(options)) - kept


def _numbers(options: Options) -> range:
    return range(options.port_range.first, options.port_range.last + 1)
