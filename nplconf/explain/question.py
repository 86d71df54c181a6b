"""The question, the facts that an answer uses, and the form of an answer."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nplconf.desired.names import label, subdomain
from nplconf.model import ClusterState, Protocol
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed
from nplconf.run.verify import Verified
from nplconf.settings import Settings
from nplconf.spelling import suggestion

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy

LINES = 15
"""The most lines of an answer: they fit on a screen together with the question."""


class PodName(NamedTuple):
    """namespace/name of a Pod."""

    key: str


class ServiceName(NamedTuple):
    """namespace/name of a Service."""

    key: str


class NodePort(NamedTuple):
    """A port of the node, for one protocol."""

    protocol: Protocol
    number: int


What = PodName | ServiceName | NodePort


@dataclass(frozen=True, slots=True)
class ExplainFacts:
    """The cluster and the node as they were read, and what a run would decide."""

    cluster: ClusterState
    observed: Observed
    decision: Decision
    verified: Verified
    settings: Settings
    policy: "Policy | None" = None

    @property
    def node(self) -> str:
        """The node's name."""
        return self.settings.node


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer. answer: one sentence; reasons: the most important first; fixes: commands."""

    answer: str
    reasons: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return at most `LINES` lines. If there are too many reasons, the last line says how many are left out."""
        ends = [f"  Fix: {command}" for command in dict.fromkeys(self.fixes)][:3]
        room = LINES - 1 - len(ends)
        reasons = [f"  {reason}" for reason in dict.fromkeys(self.reasons)]
        if len(reasons) > room:
            reasons = [*reasons[: room - 1], f"  and {len(reasons) - room + 1} more"]
        return [self.answer, *reasons, *ends]


_PODS = ("pod", "pods", "po")
_SERVICES = ("svc", "service", "services")
_PREFIXES = (*_PODS, *_SERVICES, "sctp")
"""Words that are not taken for a namespace. A Pod of such a namespace is asked for as pod/NAMESPACE/NAME."""
FORMS = "a Pod (NAMESPACE/NAME or pod/NAMESPACE/NAME), a Service (service/NAMESPACE/NAME) or a node port (tcp/NUMBER)"
_KINDS = (*_PREFIXES, "tcp", "udp")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def parse(text: str) -> What:
    """Return what is asked for, in one of `FORMS`. The kind may be in capitals, short or plural, as in kubectl.

    Raises:
        ValueError: The text has none of the forms.

    """
    kind, *rest = text.split("/")
    match (kind.lower() if len(rest) > 1 or kind.lower() in _KINDS else kind, *rest):
        case [("tcp" | "udp" | "sctp") as protocol, number]:
            if _PORT.fullmatch(number) and int(number) < 65536:
                return NodePort(protocol, int(number))
            raise ValueError(f"{number!r} is no port number")
        case [service, namespace, name] if service in _SERVICES and label(namespace) and label(name):
            return ServiceName(f"{namespace}/{name}")
        case [pod, namespace, name] if pod in _PODS and label(namespace) and subdomain(name):
            return PodName(f"{namespace}/{name}")
        case [namespace, name] if namespace not in _PREFIXES and label(namespace) and subdomain(name):
            return PodName(f"{namespace}/{name}")
    hint = "" if kind.lower() in _KINDS else suggestion(kind, _KINDS) if len(rest) == 2 else ""
    raise ValueError(f"{text!r} is not {FORMS}{hint}")
