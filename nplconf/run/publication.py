"""The wanted annotations and conditions for the mappings in place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nplconf.cache import Cache
from nplconf.model import Condition, Patch, Pending, Plan, Pod, PodRef, PortMapping
from nplconf.publish import conditions, life, patches
from nplconf.publish.annotation import DEFAULT, Form


@dataclass(frozen=True, slots=True)
class Publication:
    """The state of annotations before a run writes rules.

    Attributes:
        plan: The plan, whose rows and skipped ports explain a Pod's condition.
        pending: Pod ports that a reviewed plan does not have.
        form: How annotations are written.
        states: The states of the eligible mappings that drain, linger or wait for their Pods' containers.
        unlisted: The eligible mappings that no annotation lists because of their state.
        served: Mappings whose entries stay although their rules are not in place: Antrea's chain serves them.

    """

    plan: Plan
    pending: tuple[Pending, ...] = ()
    form: Form = DEFAULT
    states: Mapping[PortMapping, life.State] = field(default_factory=dict, hash=False)
    unlisted: frozenset[PortMapping] = frozenset()
    served: frozenset[PortMapping] = frozenset()

    def listed(self, rows: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
        """Return the rows that annotations list."""
        if self.served:
            rows = (*rows, *self.served.difference(rows))
        return tuple(m for m in rows if m not in self.unlisted) if self.unlisted else rows

    def patches(
        self, pods: Iterable[Pod], in_place: tuple[PortMapping, ...], cache: Cache | None = None
    ) -> tuple[Patch, ...]:
        """Return the patches of annotations and conditions for these Pods, sorted by Pod. cache: see `Inputs`."""
        known = tuple(pods)
        return patches.final(known, self.listed(in_place), self.form, self._conditions(known, in_place), cache)

    def _conditions(self, pods: tuple[Pod, ...], in_place: tuple[PortMapping, ...]) -> dict[PodRef, Condition]:
        gated = {pod.ref.key: pod for pod in pods if conditions.is_due(pod)}
        if not gated:
            return {}
        rows = [m for m in self.plan.mappings if m.pod.key in gated]
        asked = {
            pod.ref: conditions.PodRequests(
                tuple(m for m in rows if m.pod == pod.ref),
                tuple(row for row in self.plan.skipped if row.pod == key),
                tuple(row for row in self.pending if row.pod == pod.ref),
            )
            for key, pod in gated.items()
        }
        waiting = {m for m, state in self.states.items() if state == "in-place"}
        return conditions.due(gated.values(), asked, {m for m in in_place if m.pod.key in gated}, waiting)
