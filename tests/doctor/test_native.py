"""The verdict of native nftables chains on a packet to a Pod, as far as the rules can be judged."""

from typing import Any

import pytest

from nplconf.doctor.native import chains

DNAT = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}
NEW = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "new"]}}
KNOWN = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
SSH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}
ACCEPT: dict[str, object] = {"accept": None}
DROP: dict[str, object] = {"drop": None}
REJECT: dict[str, object] = {"reject": {}}
JUMP = {"jump": {"target": "sub"}}


def base(policy: str = "accept", *, table: str = "fw", name: str = "f", hook: str = "forward") -> dict[str, Any]:
    return {"chain": {"family": "ip", "table": table, "name": name, "type": "filter", "hook": hook, "policy": policy}}


def rule(*parts: dict[str, Any], chain: str = "f", table: str = "fw") -> dict[str, Any]:
    return {"rule": {"family": "ip", "table": table, "chain": chain, "expr": list(parts)}}


@pytest.mark.parametrize(
    ("policy", "rules", "outcome"),
    [
        ("accept", [], "accept"),
        ("drop", [], "drop"),
        ("drop", [rule(DNAT, ACCEPT)], "accept"),
        ("drop", [rule(NEW, ACCEPT)], "accept"),
        ("drop", [rule(KNOWN, ACCEPT)], "drop"),
        ("drop", [rule(SSH, ACCEPT)], "maybe"),
        ("accept", [rule(SSH, ACCEPT)], "accept"),
        ("accept", [rule(SSH, ACCEPT), rule(REJECT)], "maybe"),
        ("accept", [rule(KNOWN, ACCEPT), rule(DROP)], "drop"),
        ("accept", [rule(SSH, DROP)], "maybe"),
        ("drop", [rule(JUMP), rule(DNAT, ACCEPT, chain="sub")], "accept"),
        ("accept", [rule(JUMP), rule(DROP, chain="sub")], "drop"),
        ("drop", [rule(JUMP), rule(SSH, ACCEPT, chain="sub")], "maybe"),
        ("accept", [rule(JUMP), rule(JUMP, chain="sub")], "accept"),
    ],
)
def test_ok_is_reported_only_where_nothing_can_drop(policy: str, rules: list[dict[str, Any]], outcome: str) -> None:
    (found,) = chains([base(policy), *rules])
    assert (found.place, found.outcome) == ("ip fw f", outcome)


def test_chains_of_iptables_are_left_to_iptables_and_others_in_their_tables_are_not() -> None:
    listed = [base(table="filter", name="FORWARD"), base("drop", table="filter", name="mine")]
    counted = rule({"counter": {}}, DROP, chain="FORWARD", table="filter")
    assert [chain.place for chain in chains([*listed, counted])] == ["ip filter mine"]


@pytest.mark.parametrize(("hook", "number"), [("input", 0), ("prerouting", 1), ("ingress", 1), ("output", 0)])
def test_only_hooks_on_the_way_to_a_pod_count(hook: str, number: int) -> None:
    assert len(chains([base("drop", hook=hook)])) == number
