"""Facts from the cluster: permissions, the snapshot, the Pods of this node."""

import os
import shlex
from typing import NamedTuple

from nplconf.cluster.api.credentials import KUBELET
from nplconf.cluster.file.dump import DUMP
from nplconf.doctor.facts import LOST, Facts, Unknown, is_closed
from nplconf.errors import NplconfError
from nplconf.model import ClusterState, Family, Right
from nplconf.node import state
from nplconf.settings import Settings


class Answers(NamedTuple):
    """The cluster's answers, each separately."""

    snapshot: ClusterState | Unknown
    rights: tuple[Right, ...] | Unknown


UNREAD = Unknown("the cluster cannot be read (see api-rights)", see="api-rights")


def answers(facts: Facts) -> Answers:
    """Ask the cluster for the permissions of this account, and for a snapshot."""
    found = _answers(facts)
    settings = facts.settings
    if facts.sources.lost and isinstance(found.rights, Unknown) and not (settings.cluster_state or settings.kubeconfig):
        return Answers(LOST, LOST)
    return found


def _answers(facts: Facts) -> Answers:
    settings = facts.settings
    try:
        cluster = facts.sources.cluster()
        rights = cluster.rights(settings.node, events=not settings.no_events)
    except NplconfError as err:
        return Answers(UNREAD, _unread(settings, str(err)))
    if settings.cluster_state and os.geteuid() and not all(right.allowed for right in rights):
        closed = Unknown("no permission to read and write the cluster files (run as root)", see="capabilities")
        return Answers(closed, closed)
    try:
        return Answers(cluster.snapshot(settings.node), rights)
    except NplconfError as err:
        return Answers(UNREAD, rights if any(not right.allowed for right in rights) else _unread(settings, str(err)))


def _unread(settings: Settings, why: str) -> Unknown:
    """Return why files or a server could not be read; a kubeconfig may be readable by root alone."""
    if settings.cluster_state:
        return Unknown(why, fix=f"{DUMP} >{shlex.quote(settings.cluster_state[0])}")
    kubeconfig = settings.kubeconfig or os.environ.get("KUBECONFIG") or KUBELET
    return Unknown(why, see="capabilities" if is_closed(kubeconfig) else "")


def pod_addresses(facts: Facts) -> dict[Family, str]:
    """Return one address of a Pod on this node for each family; without a cluster those of the last plan."""
    settings, snapshot = facts.settings, facts.read(answers).snapshot
    if isinstance(snapshot, Unknown):
        plan = state.load(settings.state_dir).state.plan
        ips = [mapping.pod_ip for mapping in plan.mappings] if plan else []
    else:
        pods = (pod for pod in snapshot.pods if pod.node == settings.node and not pod.host_network)
        ips = [ip for pod in pods if not pod.terminated for ip in pod.ips]
    families: dict[Family, str] = {}
    for ip in filter(None, ips):
        families.setdefault("IPv6" if ":" in ip else "IPv4", ip)
    return families
