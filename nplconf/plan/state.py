"""The state that one run leaves for the next, as values. `node.state` writes and reads the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nplconf.model import Family, Plan, RuleKey
from nplconf.plan.cooling import Cooling
from nplconf.publish.denials import Denials


@dataclass(frozen=True, slots=True)
class State:
    """boot: boot_id of the run that wrote it. cluster: UID of Service default/kubernetes;
    former_clusters: its UIDs before, when it was created again. node_uid: UID of the Node object.
    plan: the last good one.

    cooling: every freed number with its last owner, also when its time is over, for the owner may come back.
    empty_seen: the last run saw no Pod on this node. said: what was told in events, subject -> reason, so that nothing
    is told twice. addresses: the node's, that rules match. writing: a run began to write rules and has not ended.
    unserved: mappings of the plan that the run did not get in place. annotations: namespace/name of a Pod -> digest of
    the annotation that the run left on it. denials: Pods whose patch was denied.
    waiting: subjects of events that are still to be created, oldest first. unasked: lingering mappings, by
    `life.name` -> since when nothing asks for them, seconds of the boot-time clock.
    """

    boot: str = ""
    cluster: str | None = None
    former_clusters: tuple[str, ...] = ()
    node_uid: str | None = None
    plan: Plan | None = None
    cooling: tuple[Cooling, ...] = ()
    empty_seen: bool = False
    said: Mapping[str, str] = field(default_factory=dict, hash=False)
    addresses: Mapping[Family, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unserved: tuple[RuleKey, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    denials: Denials = field(default_factory=dict, hash=False)
    waiting: tuple[str, ...] = ()
    unasked: Mapping[str, float] = field(default_factory=dict, hash=False)
    writing: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state that was read. text: of the file, "" without one. warning: why the file was not used."""

    state: State
    text: str = ""
    warning: str = ""
