"""What may not happen at once: a run that would take away much is more often a wrong snapshot than a wish.

No limit ever keeps a rule to a Pod that is gone: its address may be another Pod's tomorrow.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nplconf.model import PortMapping

LEAST = 10
"""Below this many live mappings nothing is limited: on a small node every removal is a large part."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a run may not go on.

    kind `empty`: the snapshot has no Pod of this node; `max-delete`: too much would go; `cluster`: it is another one's;
    `no-node`: an API server that does not know this node.
    """

    kind: Literal["empty", "max-delete", "cluster", "no-node"]
    message: str


def blocked(
    live: Iterable[PortMapping],
    removed: Iterable[PortMapping],
    running: frozenset[tuple[str, str]],
    *,
    max_delete: int,
    believe_empty: bool,
    any_pod: bool,
) -> Blocked | None:
    """The limit that a run meets, if any.

    live: mappings with a rule now; removed: those that would have none. running: (namespace/name, IP) of the Pods that
    run here. any_pod: the snapshot has a Pod of this node at all. believe_empty: it was seen twice, or the user says
    so.
    """
    present = [m for m in live if m.via == "dnat"]
    if len(present) < LEAST:
        return None
    if not any_pod:
        return None if believe_empty else Blocked("empty", _empty(len(present)))
    served = sum(still_runs(m, running) for m in present)
    gone = sum(still_runs(m, running) for m in removed)
    if gone * 100 > max_delete * served:
        return Blocked("max-delete", _too_much(gone, served, max_delete))
    return None


def still_runs(mapping: PortMapping, running: frozenset[tuple[str, str]]) -> bool:
    """Its Pod runs here with that address."""
    return (mapping.pod.key, mapping.pod_ip) in running


def _empty(count: int) -> str:
    return (
        f"the cluster state has no Pod on this node, which has {count} live mappings: nothing is changed; it is"
        " believed when the next run sees it too, or now with --allow-empty"
    )


def _too_much(gone: int, served: int, percent: int) -> str:
    return (
        f"{gone} of {served} mappings whose Pods still run here would be removed, more than --max-delete {percent}:"
        " they are kept"
    )
