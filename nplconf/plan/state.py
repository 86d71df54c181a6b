"""The state that one run leaves for the next, as values. `node.state` writes and reads the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nplconf.model import Family, Plan, PodPort, RuleKey
from nplconf.plan.cooling import Cooling
from nplconf.publish.denials import Denials


class Alias(NamedTuple):
    """The second number of a Pod port, from Antrea.

    Attributes:
        key: Its number, family and protocol.
        owner: The Pod port.
        since: When Antrea's chain was gone, in seconds of the boot-time clock; None while it is there.
        ended: The run was to remove its rule. It is stored until the rule is gone.

    """

    key: RuleKey
    owner: PodPort
    since: float | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What the next run must know and cannot read from the kernel.

    Attributes:
        boot: The boot_id of the run that wrote it.
        cluster: The UID of Service default/kubernetes.
        former_clusters: Its former UIDs, if it was created again.
        node_uid: The UID of the Node object.
        plan: The last good plan.
        cooling: Every released port with its last owner, even after its time, since the owner may come back.
        empty_seen: The last run saw no Pod on this node.
        announced: The announced Events, subject -> reason, so that none is posted twice.
        addresses: The node's addresses that rules match.
        unserved: Mappings of the plan that the run could not bring into place.
        annotations: namespace/name of a Pod -> digest of the annotation that the run left on it.
        denials: Pods whose patch was denied.
        waiting: Subjects of Events that are still to be created, oldest first.
        unasked: Lingering mappings by `life.name` -> when their request ended, in seconds of the boot-time clock.
        aliases: The second numbers of Pod ports, whose rules stay for a while.
        writing: A run began to write rules and has not ended.
    """

    boot: str = ""
    cluster: str | None = None
    former_clusters: tuple[str, ...] = ()
    node_uid: str | None = None
    plan: Plan | None = None
    cooling: tuple[Cooling, ...] = ()
    empty_seen: bool = False
    announced: Mapping[str, str] = field(default_factory=dict, hash=False)
    addresses: Mapping[Family, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unserved: tuple[RuleKey, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    denials: Denials = field(default_factory=dict, hash=False)
    waiting: tuple[str, ...] = ()
    unasked: Mapping[str, float] = field(default_factory=dict, hash=False)
    aliases: tuple[Alias, ...] = ()
    writing: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state that was read. text: of the file, "" without one. warning: why the file was not used."""

    state: State
    text: str = ""
    warning: str = ""
