"""`nplconf explain WHAT`: why a Pod, a Service or a node port is or is not mapped."""

import argparse

from nplconf.characters import escaped
from nplconf.cli import plans
from nplconf.cli.connections import look
from nplconf.errors import UsageError
from nplconf.explain import FORMS, ExplainFacts, Explanation, explain, parse
from nplconf.output import structured, table
from nplconf.run.verify import verify
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("what", metavar="WHAT", help=FORMS)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the explanation. Return 0, also for what does not exist; 4 if the cluster is not this node's."""
    try:
        what = parse(arguments.what)
    except ValueError as err:
        raise UsageError(str(err)) from None
    bounds = plans.bounds(None, settings)
    seen = look(settings, bounds)
    if seen.cluster is None:
        raise UsageError(
            "explain needs a cluster (Pods and Services are unknown with --no-cluster); for a plan use: nplconf verify"
        )
    if seen.decision.blocked and seen.decision.unusable:
        found = Explanation(f"nothing is known of {arguments.what}: {seen.decision.blocked.message}")
    else:
        verified = verify(seen.decision, seen.observed, seen.pods, no_hold=settings.no_hold)
        facts = ExplainFacts(seen.cluster, seen.observed, seen.decision, verified, settings, bounds.policy)
        found = explain(what, facts)
    if settings.output == "table":
        table.write(_lines(found), settings)
    else:
        print(structured.text(_data(arguments.what, found), settings.output), end="")
    return 4 if seen.decision.unusable else 0


def _lines(found: Explanation) -> list[table.Line]:
    first, *rest = (escaped(line) for line in found.lines())
    return [("sum", first), *(("", line) for line in rest)]


def _data(what: str, found: Explanation) -> dict[str, object]:
    return {"what": what, "answer": found.answer, "reasons": list(found.reasons), "fix": list(found.fixes)}
