"""The decision of one run, as one value. `decide` makes it, `act` carries it out, `plan` prints it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nplconf.model import Change, Failure, Family, Finding, Patch, Pending, Plan, PortMapping, RuleKey, Stale
from nplconf.plan.diff import Diff
from nplconf.plan.limits import Blocked
from nplconf.plan.state import State
from nplconf.rules.foreign import ForeignRule
from nplconf.run.publication import Publication

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Bounds:
    """The reviewed plan or the policy that limits the run.

    Attributes:
        plan: A reviewed plan. Its rows and ports are binding.
        exact: Change nothing where the cluster differs from the plan.
        policy: What may be mapped without a plan.

    """

    plan: Plan | None = None
    exact: bool = False
    policy: "Policy | None" = None


UNBOUND = Bounds()
"""Map everything that Services ask for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one run.

    A run is *blocked* if a limit forbids some or all of its changes (exit 4). A row of a reviewed plan that no longer
    holds is *stale* (exit 3). A plan with `--exact` that differs from the cluster in anything is *inexact* (exit 3,
    nothing is changed). A run in which something failed is *degraded* (exit 5).

    Attributes:
        plan: What the cluster (or the reviewed plan) asks for.
        eligible: The mappings that are to be in force: rows of the plan whose port is held, and live mappings whose
            rules stay.
        live: The mappings that are in force.
        diff: The changes from `live` to `eligible`.
        wanted: The rules that the backend must have, by family; None where a family must have none.
        interim: The rules until new ports are published: those of `wanted`, and those at old ports.
        addresses: The node's addresses that rules match, by family.
        patches: The annotations and conditions to write if all rules come into force.
        old_ports: Live mappings at old ports, whose rules stay until the new port is published.
        withdrawals: The patches that withdraw entries before their rules go.
        findings: What is wrong on the node beside the mappings.
        failures: Rows that cannot be served, known before anything is done.
        next_state: The state for the next run.
        publication: What annotations must say about mappings in place.
        unseen: Eligible mappings of families that cannot be read, which annotations list already. They stay published.
        taken: Eligible mappings whose packets a foreign rule takes first. They have rules and are not published.
        stale: Rows of the reviewed plan that no longer hold.
        pending: Pod ports that the reviewed plan does not have.
        inexact: See above.
        blocked: The limit that the run meets.
        warnings: What an operator must know of the snapshot.
        degraded: What of the snapshot is not used, and why.
        next_end: Seconds until a lingering mapping ends, when the next run is due.

    """

    plan: Plan
    eligible: tuple[PortMapping, ...]
    live: tuple[PortMapping, ...]
    diff: Diff
    wanted: Mapping[Family, Any] = field(hash=False)
    interim: Mapping[Family, Any] = field(hash=False)
    addresses: Mapping[Family, tuple[str, ...]] = field(hash=False)
    patches: tuple[Patch, ...]
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]
    next_state: State
    publication: Publication
    old_ports: tuple[PortMapping, ...] = ()
    withdrawals: tuple[Patch, ...] = ()
    unseen: frozenset[PortMapping] = frozenset()
    taken: Mapping[RuleKey, ForeignRule] = field(default_factory=dict, hash=False)
    stale: tuple[Stale, ...] = ()
    pending: tuple[Pending, ...] = ()
    inexact: bool = False
    blocked: Blocked | None = None
    warnings: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    next_end: float | None = None

    @property
    def removals(self) -> tuple[Change, ...]:
        """The changes that remove a mapping."""
        return tuple(change for change in self.diff.changes if change.action == "delete")

    @property
    def draining(self) -> tuple[PortMapping, ...]:
        """The mappings of deleted Pods that have not ended."""
        return self._in_state("draining")

    @property
    def aliases(self) -> tuple[PortMapping, ...]:
        """The mappings under the second number of a Pod port, whose rules stay for a while."""
        return self._in_state("alias")

    @property
    def lingering(self) -> tuple[PortMapping, ...]:
        """The mappings that nothing asks for and whose rules stay for a while."""
        return self._in_state("lingering")

    def _in_state(self, state: str) -> tuple[PortMapping, ...]:
        states = self.publication.states
        return tuple(m for m in self.eligible if states.get(m) == state) if states else ()

    @property
    def unusable(self) -> bool:
        """Whether a limit blocks the whole run, because the snapshot or the plan says nothing about this node."""
        return self.blocked is not None and self.blocked.whole_run
