"""The values that every stage works with: frozen, hashable where they are keys, free of effects.

`names` has the words and keys that all share, `cluster` the objects of a snapshot, `plan` the mappings, `node` what was
read of the node, `changes` what a run decides and what came of it. All are imported from here.

What a full node has ten thousand of is a NamedTuple, which is made, compared and hashed several times as fast as a
dataclass; all else is a dataclass.

Strings from the cluster are untrusted here: they are checked where they are turned into a plan (`desired`), into rules
(`rules`) or into text for a person (`output`).
"""

from nplconf.model.changes import (
    ACTIONS,
    FINDING_KINDS,
    Action,
    Change,
    Event,
    Failure,
    Finding,
    FindingKind,
    Patch,
    Pending,
    Stale,
)
from nplconf.model.cluster import ClusterState, Condition, ContainerPort, Node, Pod, Right, Service, ServicePort
from nplconf.model.names import (
    ANNOTATION,
    ENABLED,
    FAMILIES,
    GATE,
    PROTOCOLS,
    USUAL_PROTOCOLS,
    Backend,
    Family,
    IptablesKind,
    PodPort,
    PodRef,
    PortRange,
    Protocol,
    Via,
)
from nplconf.model.node import Holds, LiveRule, MasqueradeSource, Taken
from nplconf.model.plan import Plan, PortMapping, RuleKey, Skipped, in_plan_order

__all__ = [
    "ACTIONS",
    "ANNOTATION",
    "ENABLED",
    "FAMILIES",
    "FINDING_KINDS",
    "GATE",
    "PROTOCOLS",
    "USUAL_PROTOCOLS",
    "Action",
    "Backend",
    "Change",
    "ClusterState",
    "Condition",
    "ContainerPort",
    "Event",
    "Failure",
    "Family",
    "Finding",
    "FindingKind",
    "Holds",
    "IptablesKind",
    "LiveRule",
    "MasqueradeSource",
    "Node",
    "Patch",
    "Pending",
    "Plan",
    "Pod",
    "PodPort",
    "PodRef",
    "PortMapping",
    "PortRange",
    "Protocol",
    "Right",
    "RuleKey",
    "Service",
    "ServicePort",
    "Skipped",
    "Stale",
    "Taken",
    "Via",
    "in_plan_order",
]
