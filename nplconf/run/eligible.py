"""The eligible rows of a plan: those whose port is held and whose annotation was not denied."""

from collections.abc import Iterable
from typing import NamedTuple

from nplconf.model import Failure, Holds, PortMapping
from nplconf.plan import limits
from nplconf.publish import denials
from nplconf.publish.denials import Denials
from nplconf.run.decision_options import Options
from nplconf.run.inputs import Inputs
from nplconf.run.observed import Observed, usable
from nplconf.run.target import Target


class Eligible(NamedTuple):
    """The result of the selection.

    Attributes:
        rows: The mappings that are to be in force.
        failures: A failure for each row that is not.
        denials: The Pods whose patches were denied in earlier runs and are not tried again yet.

    """

    rows: tuple[PortMapping, ...]
    failures: tuple[Failure, ...]
    denials: Denials


def eligible(target: Target, inputs: Inputs, stay: tuple[PortMapping, ...]) -> Eligible:
    """Return the mappings that are to be in force. stay: live mappings whose rules stay."""
    observed, plan = inputs.observed, target.plan
    rows, unheld = _held(plan.mappings, inputs.live, observed.holds, inputs.options)
    denied = denials.current(_of_this_boot(observed), inputs.pods, plan.mappings, now=observed.now)
    rows, unwritten = denials.without(rows, denied, inputs.pods, inputs.options.form)
    rows, conflicts = limits.beside(rows, stay)
    return Eligible(rows, unheld + unwritten + conflicts, denied)


def _of_this_boot(observed: Observed) -> Denials:
    return observed.state.denials if observed.state.boot == observed.boot else {}


def _held(
    rows: tuple[PortMapping, ...], live: Iterable[PortMapping], holds: Holds, options: Options
) -> tuple[tuple[PortMapping, ...], tuple[Failure, ...]]:
    """Return the rows whose port is held, and a failure for each other one.

    If the daemon holds no port of the range, nobody can say which port is safe. Then only rows that are live already
    are eligible, and no new one. The same holds for each protocol that the daemon does not hold.
    """
    ports, protocols = usable(holds, options), holds.protocols
    doubtful = [row for row in rows if row.node_port not in ports or row.protocol not in protocols]
    if not doubtful:  # as in most runs
        return rows, ()
    before = {(m.key, m.owner) for m in live if not ports or m.protocol not in protocols}
    unheld = [row for row in doubtful if row.via != "hostPort" and (row.key, row.owner) not in before]
    failures = (Failure("hold", row.subject, _not_held(row, holds, options), refused=bool(ports)) for row in unheld)
    refused = set(unheld)
    return tuple(row for row in rows if row not in refused), tuple(failures)


def _not_held(row: PortMapping, holds: Holds, options: Options) -> str:
    if not holds.available:
        return f"port {row.node_port} gets no new mapping: {holds.message}"
    if row.protocol not in holds.protocols:
        why = f"this kernel has no {row.protocol.upper()} sockets, or the hold daemon runs without --{row.protocol}"
        return f"port {row.node_port} is not held for {row.protocol}: {why}; nplconf doctor says which"
    taken = [t for t in holds.taken if t.number == row.node_port]
    if taken:
        return f"port {row.node_port} is taken by {next((t.by for t in taken if t.by), 'an unknown process')}"
    return f"port {row.node_port} is not held: the daemon at {options.hold_socket} holds other ports"
