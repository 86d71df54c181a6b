"""Why a Pod, Service or node port is or is not mapped: a few lines that end in the command that fixes it. Pure."""

from nplconf.explain.numbers import of_number
from nplconf.explain.objects import of_pod, of_service
from nplconf.explain.question import (
    FORMS,
    LINES,
    ExplainFacts,
    Explanation,
    NodePort,
    PodName,
    ServiceName,
    What,
    parse,
)

__all__ = [
    "FORMS",
    "LINES",
    "ExplainFacts",
    "Explanation",
    "NodePort",
    "PodName",
    "ServiceName",
    "What",
    "explain",
    "parse",
]


def explain(what: What, facts: ExplainFacts) -> Explanation:
    """Return the answer about a Pod, a Service or a node port, also for one that does not exist."""
    if isinstance(what, PodName):
        found = of_pod(what.key, facts)
    elif isinstance(what, ServiceName):
        found = of_service(what.key, facts)
    else:
        found = of_number(what, facts)
    blocked = facts.decision.blocked
    if not blocked or not found.fixes:
        return found
    option = "--allow-empty" if blocked.kind == "empty" else "--max-delete 100"
    reasons = (f"blocked: {blocked.message}", *found.reasons)
    return Explanation(found.answer, reasons, (f"nplconf apply {option}",))
