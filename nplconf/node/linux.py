"""`NodeAccess` on a real Linux machine."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nplconf.errors import PermissionDeniedError
from nplconf.hold import client as holds
from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping, PortRange
from nplconf.node import RuleDriver, antrea, backend, conntrack, native, owners, routes, state
from nplconf.node.iptables import IptablesDriver
from nplconf.node.nftables import NftablesDriver
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, AntreaChain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes
from nplconf.settings import Settings

NAMED = 32
"""Above this number of taken ports, their processes are not looked up in /proc."""
CAP_NET_ADMIN = 12
DRIVERS: dict[Backend, RuleDriver[Any]] = {
    "iptables-nft": IptablesDriver("nft"),
    "iptables-legacy": IptablesDriver("legacy"),
    "nftables": NftablesDriver(),
}
"""The driver of every backend."""


@dataclass(frozen=True, slots=True)
class LinuxNode:
    """The machine and network namespace of this process."""

    backend: Backend
    boot: str
    settings: Settings

    @classmethod
    def open(cls, settings: Settings) -> "LinuxNode":
        """Check the rights and choose the backend.

        Raises:
            UnavailableError: No backend is installed.
            PermissionDeniedError: CAP_NET_ADMIN is missing.
        """
        if not _may_administer():
            raise PermissionDeniedError("no right to read or write rules: run as root (CAP_NET_ADMIN)")
        chosen = backend.choose() if settings.backend == "auto" else settings.backend
        return cls(chosen, state.boot_id(), settings)

    @property
    def rules(self) -> RuleBackend[Any]:
        """See `NodeAccess`."""
        return DRIVERS[self.backend].rules

    def now(self) -> float:
        """See `NodeAccess`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def load(self) -> Loaded:
        """See `NodeAccess`."""
        return state.load(self.settings.state_dir)

    def save(self, new: State, before: str) -> str:
        """See `NodeAccess`."""
        return state.save(self.settings.state_dir, new, before)

    def holds(self) -> Holds:
        """See `NodeAccess`. The processes of taken ports are looked up in /proc, unless there are too many to read."""
        wanted: PortRange = self.settings.port_range
        found = self._asked(wanted)
        return owners.named(found, {t.number for t in found.taken}) if 0 < len(found.taken) <= NAMED else found

    def _asked(self, wanted: PortRange) -> Holds:
        if self.settings.no_hold:
            return holds.probe(wanted, self.settings.protocols)
        return holds.ask(self.settings.hold_socket, wanted)

    def routes(self) -> Routes:
        """See `NodeAccess`."""
        return routes.read()

    def addresses(self) -> frozenset[str]:
        """See `NodeAccess`."""
        return routes.local_addresses()

    def read(self, *, whole: bool = False) -> Reading[Any]:
        """See `NodeAccess`."""
        return DRIVERS[self.backend].read(whole=whole)

    def sync(self, goal: Goal[Any]) -> Synced[Any]:
        """See `NodeAccess`."""
        return DRIVERS[self.backend].sync(goal)

    def foreign(self, found: Mapping[Family, Any]) -> tuple[ForeignRule, ...]:
        """See `NodeAccess`."""
        places = ((driver, found if name == self.backend else {}) for name, driver in DRIVERS.items())
        ports = self.settings.port_range
        rules = tuple(rule for driver, own in places for rule in driver.foreign(own, ports))
        return rules + native.rules(ports, native.OWN if self.backend == "nftables" else native.DSTNAT)

    def antrea(self) -> Antrea:
        """See `NodeAccess`."""
        return antrea.found()

    def remove_antrea(self, chains: Sequence[AntreaChain]) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        return antrea.remove(chains)

    def leftovers(self) -> dict[Backend, tuple[Family, ...]]:
        """See `NodeAccess`."""
        others = {name: driver.present() for name, driver in DRIVERS.items() if name != self.backend}
        return {name: families for name, families in others.items() if families}

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        places = ((family, name) for name, families in leftovers.items() for family in families)
        complaints = ((f"{family} {name}", DRIVERS[name].clear(family)) for family, name in places)
        return tuple(Failure("backend", place, complaint) for place, complaint in complaints if complaint)

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        flows = conntrack.whole_range(self.settings.port_range, live) if everything else conntrack.rerouted(changes)
        return conntrack.flush_flows(flows, addresses).failures if flows else ()


def _may_administer() -> bool:
    """Return whether this process has CAP_NET_ADMIN. Without it iptables prints many different messages."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> CAP_NET_ADMIN & 1)
