"""Rendering a plan again after few Pods have changed: all other Pods keep their rows.

An owner keeps the node port that it has by the live rules, whatever else is asked for (`ports`). So the changed Pods
are rendered as if they were alone, and the node ports of the others are taken. A Pod can change the rows of another
one only by an address that both have, a hostPort, a policy, or where node ports are short. Then all are rendered.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from nplconf.desired.names import shown
from nplconf.desired.pods import addresses_of, runs
from nplconf.desired.ports import Previous
from nplconf.desired.services import Selection
from nplconf.desired.skips import MOST, in_order
from nplconf.model import Node, Plan, Pod, PodPort, PortMapping, Skipped, in_plan_order
from nplconf.plan.diff import with_objects_of
from nplconf.sequences import FEW, replaced

if TYPE_CHECKING:
    from nplconf.desired.render import Desired


class RenderInputs(NamedTuple):
    """What a plan depends on. pods: those of any node."""

    selection: Selection
    identity: str | None
    node: Node
    settings: "Desired"
    pods: tuple[Pod, ...]
    past: Previous


@dataclass(frozen=True, slots=True)
class PodIndex:
    """The running Pods of a plan, none of which shares a name, an address or a node port with another one.

    Attributes:
        rows: Their rows, by namespace/name; an empty tuple for a Pod without any.
        addresses: Their addresses.
        ports: The node ports of all rows.
        held: How many node ports each namespace has.

    """

    rows: Mapping[str, tuple[PortMapping, ...]]
    addresses: frozenset[str]
    ports: frozenset[int]
    held: Mapping[str, int]

    def owners(self) -> frozenset[PodPort]:
        """Return the owners of the node ports."""
        return frozenset(row.owner for rows in self.rows.values() for row in rows)

    def without(self, gone: Iterable[Pod]) -> "PodIndex":
        """Return the index without some of its Pods."""
        rows = dict(self.rows)
        old = [row for pod in gone for row in rows.pop(pod.ref.key)]
        return PodIndex(
            rows=rows,
            addresses=self.addresses.difference(*map(addresses_of, gone)),
            ports=self.ports.difference(row.node_port for row in old),
            held=Counter(self.held) - _held(old),
        )

    def conflicts_with(self, new: Iterable[Pod]) -> bool:
        """Return whether one of some Pods has a name or an address of the Pods here."""
        return any(pod.ref.key in self.rows or addresses_of(pod) & self.addresses for pod in new)

    def with_pods_of(self, other: "PodIndex") -> "PodIndex":
        """Return the index of the Pods here and there."""
        return PodIndex(
            rows={**self.rows, **other.rows},
            addresses=self.addresses | other.addresses,
            ports=self.ports | other.ports,
            held=Counter(self.held) + Counter(other.held),
        )


@dataclass(frozen=True, slots=True)
class Rendered:
    """A plan, and what is needed to render it again.

    Attributes:
        plan: The plan.
        others: The ports that others use on the node.
        complete: Each request has a node port, and no row of `skipped` is left out.
        index: Its Pods; None until the plan is rendered again.

    """

    plan: Plan
    others: Collection[int]
    complete: bool
    index: PodIndex | None = None


def render_incrementally(
    before: RenderInputs, earlier: Rendered, now: RenderInputs, render: Callable[[RenderInputs], Rendered]
) -> Rendered | None:
    """Return what `render` returns, made from an earlier result; None where all Pods must be rendered.

    Args:
        before: What the earlier plan depends on.
        earlier: The earlier plan.
        now: What the plan depends on now.
        render: Renders a whole plan.

    """
    changed = replaced(before.pods, now.pods)
    few = FEW * max(map(len, changed)) <= len(now.pods)
    if before[:4] != now[:4] or now.settings.policy or not (earlier.complete and few):
        return None
    index = earlier.index or _indexed(before, earlier.plan)
    if index is None or any(port.host_port for pod in changed.all for port in pod.ports):
        return None
    gone, new = (tuple(pod for pod in part if runs(pod, now.node.name)) for part in changed)
    stay, rows = index.without(gone), _rows_without(earlier.plan.mappings, gone, index)
    past = _past_of_others(now.past, rows, stay, earlier.others)
    if past is None or stay.conflicts_with(new):
        return None
    inputs = now._replace(pods=new, past=past)
    part = render(inputs)
    added, skipped = _indexed(inputs, part.plan), _skipped(earlier.plan, gone, part.plan)
    if added is None or not part.complete or len(skipped) > MOST:
        return None
    for row in part.plan.mappings:
        insort(rows, row, key=in_plan_order)
    plan = replace(earlier.plan, mappings=with_objects_of(now.past.live, tuple(rows)), skipped=skipped)
    return Rendered(plan, earlier.others, complete=True, index=stay.with_pods_of(added))


def _indexed(inputs: RenderInputs, plan: Plan) -> PodIndex | None:
    """Return the index of a plan; None where Pods share something."""
    here = [pod for pod in inputs.pods if runs(pod, inputs.node.name)]
    rows: dict[str, tuple[PortMapping, ...]] = {pod.ref.key: () for pod in here}
    every = [address for pod in here for address in addresses_of(pod)]
    addresses = frozenset(every)
    distinct = len(rows) == len(here) and len(addresses) == len(every)
    if not distinct or any(shown(name) != name for name in rows):
        return None
    for row in plan.mappings:
        rows[row.pod.key] = (*rows[row.pod.key], row)
    return PodIndex(rows, addresses, frozenset(m.node_port for m in plan.mappings), _held(plan.mappings))


def _held(rows: Iterable[PortMapping]) -> Counter[str]:
    return Counter(owner.namespace for owner in {row.owner for row in rows})


def _past_of_others(
    past: Previous, rows: Sequence[PortMapping], stay: PodIndex, others: Iterable[int]
) -> Previous | None:
    """Return the earlier allocations without those of the rows that stay; None if one of these could lose its port.

    Args:
        past: The earlier allocations.
        rows: The rows that stay.
        stay: Their Pods.
        others: The ports that others use on the node.

    """
    live = replaced(rows, past.live)
    left, whose = tuple(live.new), {row.owner for row in live.new}
    beside = (row for owner in whose for row in stay.rows.get(owner.pod, ()))
    doubled = any(row.owner in whose for row in beside)
    if live.gone or doubled or any(row.node_port in stay.ports for row in left) or past.taken & stay.ports:
        return None
    as_live = past.planned == past.live
    owners = stay.owners() if past.numbers or not as_live else frozenset()
    return replace(
        past,
        numbers=tuple({o: n for o, n in source.items() if o not in owners} for source in past.numbers),
        taken=past.taken.union(stay.ports, others),
        live=left,
        planned=left if as_live else tuple(m for m in past.planned if m.owner not in owners),
        beside=stay.held,
    )


def _rows_without(rows: Iterable[PortMapping], gone: Iterable[Pod], index: PodIndex) -> list[PortMapping]:
    """Return rows in the order of plans without those of some Pods."""
    found = list(rows)
    for row in (row for pod in gone for row in index.rows[pod.ref.key]):
        del found[bisect_left(found, in_plan_order(row), key=in_plan_order)]
    return found


def _skipped(earlier: Plan, gone: Iterable[Pod], part: Plan) -> tuple[Skipped, ...]:
    """Return what is skipped of a plan, less that of some Pods, and of the Pods of another one."""
    names = {pod.ref.key for pod in gone}
    left = (row for row in earlier.skipped if row.pod not in names)
    return in_order((*left, *(row for row in part.skipped if row.pod)))
