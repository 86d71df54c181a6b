"""Limits: which removals a run does not carry out, because the snapshot is more likely wrong than the cluster empty.

A limit blocks doubted removals alone. A rule to a Pod that is gone is always removed, unless the snapshot has no Pod at
all: its address may belong to another Pod tomorrow.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from nplconf.model import Change, Failure, Plan, PodPort, PortMapping, in_plan_order

LEAST = 10
"""Below this number of live mappings nothing is limited: on a small node every removal is a large part."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a run is blocked, and what it does not do.

    kind: `empty` and `max-delete` block the removals that are listed, and the rest of the run is carried out. `cluster`
    (another cluster's snapshot or plan), `no-node`, `no-address` and `antrea` (an agent of Antrea works here) block the
    whole run.
    """

    kind: Literal["empty", "max-delete", "cluster", "no-node", "no-address", "antrea"]
    message: str
    removals: tuple[Change, ...] = ()

    @property
    def whole_run(self) -> bool:
        """Whether nothing at all is carried out."""
        return self.kind in ("cluster", "no-node", "no-address", "antrea")

    @property
    def mappings(self) -> tuple[PortMapping, ...]:
        """The mappings whose removal is blocked."""
        return tuple(change.mapping for change in self.removals)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The snapshot's evidence about the live mappings.

    Attributes:
        running: (namespace/name, IP) of the Pods that run here; None where no cluster was asked: every Pod counts.
        services: namespace/name of all Services; None where no cluster was asked.
        not_reviewed: (Pod port, protocol) that a Service asks for and the reviewed plan does not have.
        any_pod: The snapshot has a Pod of this node.
        accept_empty: A snapshot without any Pod is accepted: a second run saw it, or the user says so.

    """

    running: Collection[tuple[str, str]] | None = None
    services: Collection[str] | None = None
    not_reviewed: Collection[tuple[PodPort, str]] = ()
    any_pod: bool = True
    accept_empty: bool = False

    def runs(self, mapping: PortMapping) -> bool:
        """Return whether the mapping's Pod runs here with that address."""
        return self.running is None or (mapping.pod.key, mapping.pod_ip) in self.running

    def doubts(self, mapping: PortMapping) -> bool:
        """Return whether the removal of a mapping is doubted: its Pod runs, and no Service or plan explains it.

        A Service that is in the snapshot and no longer asks for the mapping explains it. Where the state file does not
        say which Service asked, none does.
        """
        if not self.runs(mapping):
            return False
        if (mapping.owner, mapping.protocol) in self.not_reviewed:
            return True
        if self.services is None or not mapping.services:
            return True
        return any(service not in self.services for service in mapping.services)


def limit(
    live: Iterable[PortMapping], removals: Iterable[Change], evidence: Evidence, *, max_delete: int
) -> Blocked | None:
    """Return the limit that a run meets, with the removals that it blocks; None where there is none.

    Args:
        live: Mappings with a rule now.
        removals: The changes that remove one.
        evidence: What the snapshot says about them.
        max_delete: Percent of the live mappings of running Pods that may be removed in doubt.

    """
    present = [m for m in live if m.via == "dnat"]
    if len(present) < LEAST:
        return None
    if not evidence.any_pod:
        return None if evidence.accept_empty else Blocked("empty", _empty(len(present)), tuple(removals))
    doubted = tuple(change for change in removals if evidence.doubts(change.mapping))
    if not doubted:
        return None
    served = sum(map(evidence.runs, present))
    if len(doubted) * 100 > max_delete * served:
        return Blocked("max-delete", _too_much(len(doubted), served, max_delete), doubted)
    return None


def reserved(stay: Iterable[PortMapping], plan: Plan) -> frozenset[int]:
    """Return the numbers of the mappings that stay, without those that the plan gives to the same Pod port."""
    stay = tuple(stay)
    owners = {m.owner for m in stay}
    own = {m.node_port for m in plan.mappings if m.owner in owners} if owners else frozenset()
    return frozenset(m.node_port for m in stay) - own


def beside(
    eligible: tuple[PortMapping, ...], stay: Collection[PortMapping]
) -> tuple[tuple[PortMapping, ...], tuple[Failure, ...]]:
    """Add the mappings that stay; a row of the plan that has the number of one of them becomes a failure."""
    if not stay:
        return eligible, ()
    owners = {m.node_port: m.owner for m in stay if m.via == "dnat"}
    rows, failures = list(stay), []
    for row in eligible:
        owner = owners.get(row.node_port, row.owner)
        if owner == row.owner:
            rows.append(row)
        else:
            why = f"port {row.node_port} is still in use by {owner.pod}:{owner.port}, whose rule stays for now"
            failures.append(Failure("number", row.subject, why, refused=True))
    return tuple(sorted(rows, key=in_plan_order)), tuple(failures)


def _empty(count: int) -> str:
    return (
        f"the cluster state has no Pod on this node, which has {count} live mappings. Nothing was removed. The"
        " next run accepts it if it sees the same. To accept it now: nplconf apply --allow-empty"
    )


def _too_much(gone: int, served: int, percent: int) -> str:
    return (
        f"this run would remove {gone} of {served} mappings of running Pods (limit: {percent} %), and the"
        " Services that asked for them are missing or still ask. These mappings stay, everything else is carried out."
        " If the removal is intended: nplconf apply --max-delete 100"
    )
