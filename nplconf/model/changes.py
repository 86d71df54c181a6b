"""The decisions and results of a run: changes, patches, Events, findings, failures."""

from dataclasses import dataclass
from typing import Literal, get_args

from nplconf.model.cluster import Condition
from nplconf.model.names import PodRef, Protocol
from nplconf.model.plan import PortMapping

Action = Literal["add", "change", "delete", "repair"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Change:
    """One mapping to make, change or remove.

    Attributes:
        action: What is done. A repair makes good what somebody else has changed since the last run.
        reason: One word.
        mapping: The wanted mapping; for a delete, the live one.
        was: The mapping as it is now.

    """

    action: Action
    reason: str
    mapping: PortMapping
    was: PortMapping | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """The wanted annotation of a Pod; None removes the key.

    Attributes:
        pod: The Pod, with its UID.
        annotation: The value.
        condition: The condition `GATE` to write with it; None leaves it as it is.
        same: The annotation is so already.
        transition: The status of the condition changes.

    """

    pod: PodRef
    annotation: str | None
    condition: Condition | None = None
    same: bool = False
    transition: bool = False


FindingKind = Literal["jumps", "dispatch", "backend", "unreadable", "annotation", "foreign"]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event about a Pod or a Service.

    Attributes:
        kind: The kind of the object.
        namespace: Its namespace.
        name: Its name.
        uid: Its UID.
        topic: What the Event is about.
        value: Its content in short. An Event with the same topic is created again only with another value.
        reason: One word in CamelCase.
        note: A sentence.
        warning: The type is Warning, not Normal.

    """

    kind: Literal["Pod", "Service"]
    namespace: str
    name: str
    uid: str
    topic: str
    value: str
    reason: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault on the node that is no missing or wrong mapping."""

    kind: FindingKind
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed for one subject. Other subjects are not concerned.

    Attributes:
        step: The step.
        subject: The mapping, Pod, family or file.
        message: Why it failed.
        refused: The kernel, the API server or a check refused this one subject. Others would be accepted.

    """

    step: str
    subject: str
    message: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """A row of a reviewed plan that does not fit the cluster any more. It is not applied."""

    reason: Literal["pod-gone", "other-node", "not-selected", "uid-changed", "ip-changed"]
    mapping: PortMapping


@dataclass(frozen=True, slots=True)
class Pending:
    """A Pod port that a Service asks for and that the reviewed plan does not have. It gets no rule."""

    pod: PodRef
    pod_port: int
    protocol: Protocol
    reason: Literal["not-reviewed"] = "not-reviewed"
