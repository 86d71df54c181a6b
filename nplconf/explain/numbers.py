"""Answers about a node port: its owner, or that it is free."""

from nplconf.desired import claims
from nplconf.desired.node_name import find_node
from nplconf.desired.pods import running
from nplconf.explain.question import ExplainFacts, Explanation, NodePort
from nplconf.explain.sentences import (
    cooling_now,
    cools,
    fix_hold,
    fixes,
    new_plan,
    of_reservations,
    of_rows,
    of_stale,
    who_has,
    whose,
)
from nplconf.lists import listed
from nplconf.run.verify import Row


def of_number(asked: NodePort, facts: ExplainFacts) -> Explanation:
    """Return the answer for one protocol; all protocols of a Pod port share the node port."""
    name = f"{asked.protocol}/{asked.number}"
    rows = [row for row in facts.verified.rows if row.mapping.node_port == asked.number]
    mine = [row for row in rows if row.mapping.protocol == asked.protocol]
    stale = [s for s in facts.decision.stale if s.mapping.node_port == asked.number]
    if mine:
        others = _others(asked.number, facts) if any(row.mapping.via == "dnat" for row in mine) else []
        reasons = (*others, *of_rows(mine, facts), *of_stale(stale))
        commands = (*fixes(mine, facts), *([new_plan(facts)] if stale else []))
        return Explanation(f"{name} is for {_owners(mine)}", reasons, commands)
    if rows:
        reasons = ("one number is for one Pod port, whatever the protocol", *of_rows(rows, facts))
        return Explanation(
            f"{name} is not mapped: its number is for {_owners(rows)}", reasons, tuple(fixes(rows, facts))
        )
    if stale:
        return Explanation(f"{name} is not mapped", tuple(of_stale(stale)), (new_plan(facts),))
    if asked.number not in facts.settings.port_range:
        return Explanation(
            f"{name} is not mapped: outside --port-range {facts.settings.port_range}",
            tuple(_others(asked.number, facts)),
        )
    return _unused(name, asked.number, facts)


def _unused(name: str, number: int, facts: ExplainFacts) -> Explanation:
    """Return the answer about a port of the range without a mapping."""
    taken = [t for t in facts.observed.holds.taken if t.number == number]
    if taken:
        who = next((t.by for t in taken if t.by), "an unknown process")
        protocols = " and ".join(dict.fromkeys(t.protocol for t in taken))
        return Explanation(
            f"{name} is taken: {who} has it ({protocols})", tuple(of_reservations(number, facts)), (who_has(number),)
        )
    reserved = tuple(of_reservations(number, facts))
    if others := _others(number, facts):
        return Explanation(f"{name} is not mapped: another program or Service uses the port", (*others, *reserved))
    for cool in cooling_now(facts):
        if cool.number == number:
            return Explanation(f"{name} is free for its last owner only", (cools(cool, facts), *reserved))
    answer = f"{name} is not mapped, and not free for everybody" if reserved else f"{name} is free"
    if facts.observed.holds.available:
        return Explanation(answer, reserved)
    missing = f"the hold is missing: {facts.observed.holds.message}"
    return Explanation(answer, (*reserved, missing), tuple(fix_hold(number, facts)))


def _owners(rows: list[Row]) -> str:
    return listed(dict.fromkeys(whose(row.mapping) for row in rows))


def _others(number: int, facts: ExplainFacts) -> list[str]:
    """Yield what claims a port of the node without a mapping: hostPorts and Services."""
    node = find_node(facts.cluster, facts.node)
    if node is None:
        return []
    here = running(facts.cluster.pods, facts.node)
    found = claims.on_node(facts.cluster.services, here, node, facts.settings.node_ips)
    return [f"it is {found[number]}"] if number in found else []
