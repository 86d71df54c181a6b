"""What is withdrawn before rules go, and the old ports whose rules stay until the new port is published. Pure."""

from collections.abc import Iterable

from nplconf.model import Change, Patch, Pod, PortMapping
from nplconf.publish import patches
from nplconf.run import reasons
from nplconf.run.publication import Publication


def old_ports(changes: Iterable[Change], eligible: Iterable[PortMapping]) -> tuple[PortMapping, ...]:
    """Return the mappings at their old ports whose rules stay until the new port is published.

    Another mapping may get the old port in the same run; then the old rule cannot stay.

    Args:
        changes: The changes of the run.
        eligible: The mappings that are to be in force.

    """
    moves = [change.was for change in changes if change.was and _is_move(change, change.was)]
    if not moves:
        return ()
    rows = tuple(eligible)
    wanted = {m.key for m in rows}
    targets = {(m.pod, m.pod_ip, m.pod_port) for m in rows}
    return tuple(was for was in moves if was.key not in wanted and (was.pod, was.pod_ip, was.pod_port) in targets)


def _is_move(change: Change, was: PortMapping) -> bool:
    """Return whether a live mapping leads to the same Pod port from another node port."""
    return change.reason == reasons.DOUBLED if change.action == "delete" else was.key != change.mapping.key


def withdrawals(
    due: Iterable[Patch],
    pods: Iterable[Pod],
    publication: Publication,
    rows: tuple[PortMapping, ...],
    old: tuple[PortMapping, ...],
) -> tuple[Patch, ...]:
    """Return the patches that withdraw the entries whose rules are about to go.

    Args:
        due: The patches of the run. A Pod whose annotation does not change has no entry to withdraw.
        pods: This node's Pods.
        publication: What annotations say about mappings.
        rows: The mappings that are to be in force.
        old: Those at old ports. Their entries stay until the new port is published.

    """
    patched = {patch.pod for patch in due}
    concerned = [pod for pod in pods if pod.annotation and pod.ref in patched] if patched else ()
    if not concerned:  # as in most runs
        return ()
    refs = {pod.ref for pod in concerned}
    kept = [m for m in (*publication.listed(rows), *old) if m.pod in refs]
    return patches.withdrawals(concerned, kept, publication.form)
