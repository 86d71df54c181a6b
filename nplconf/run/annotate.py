"""Writing annotations: entries are withdrawn before their rules go, and published when their rules are in place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from nplconf.cluster import Cluster
from nplconf.model import Failure, Patch, Pod, PortMapping
from nplconf.run import outcome
from nplconf.run.decision import Decision


class Withdrawn(NamedTuple):
    """pods: with the annotations as they are now. changed: whether any was written. failures: patches that failed."""

    pods: Sequence[Pod]
    changed: bool = False
    failures: tuple[Failure, ...] = ()


def withdraw(due: tuple[Patch, ...], cluster: Cluster, pods: Sequence[Pod]) -> Withdrawn:
    """Withdraw the entries whose rules are about to go. A patch that fails does not delay the removal of its rule.

    Args:
        due: The patches, see `Decision.withdrawals`.
        cluster: Where annotations are written.
        pods: This node's Pods.

    """
    if not due:
        return Withdrawn(pods)
    failures = cluster.patch(due)
    failed = {failure.subject for failure in failures}
    written = {patch.pod: patch.annotation for patch in due if patch.pod.key not in failed}
    now = tuple(replace(pod, annotation=written[pod.ref]) if pod.ref in written else pod for pod in pods)
    return Withdrawn(now, changed=True, failures=failures)


class Published(NamedTuple):
    """The result of publishing.

    Attributes:
        in_place: The mappings that are in place and not denied.
        patches: What was to be written.
        failures: The patches that failed.
        denied: Mappings whose entry was denied. Their rules are removed, because no load balancer can learn of them.

    """

    in_place: tuple[PortMapping, ...]
    patches: tuple[Patch, ...]
    failures: tuple[Failure, ...] = ()
    denied: frozenset[PortMapping] = frozenset()

    @property
    def denials(self) -> tuple[Failure, ...]:
        """The failures of the Pods with a denied entry."""
        names = {m.pod.key for m in self.denied}
        return tuple(failure for failure in self.failures if failure.subject in names)

    @property
    def late(self) -> frozenset[str]:
        """namespace/name of the Pods whose patch failed."""
        return frozenset(failure.subject for failure in self.failures)


def publish(
    decision: Decision, cluster: Cluster | None, withdrawn: Withdrawn, in_place: tuple[PortMapping, ...]
) -> Published:
    """Write the annotations of the mappings that are in place. cluster: None: only return what would be written."""
    as_decided = in_place == decision.eligible and not withdrawn.changed
    due = decision.patches if as_decided else decision.publication.patches(withdrawn.pods, in_place)
    if not cluster or not due:
        return Published(in_place, due)
    failures = cluster.patch(due)
    listing = decision.publication
    denied = outcome.unpublished(listing.listed(in_place), failures, withdrawn.pods, listing.form)
    left = tuple(m for m in in_place if m not in denied) if denied else in_place
    return Published(left, due, failures, denied)
