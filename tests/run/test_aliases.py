"""The second number of a Pod port: which rules stay, for how long, and what they are never taken for."""

from dataclasses import replace
from typing import Any

import pytest
from readings import decided, observed
from worlds import BOTH, RANGE, mapping, pod, service
from worlds import plan as planned

from nplconf.model import Holds, PodPort, PortMapping, PortRange, RuleKey, Taken
from nplconf.plan.state import Alias, State
from nplconf.rules.antrea import Antrea, AntreaChain, AntreaRule
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed

WEB = PodPort("shop/web-0", 8080)
POD = pod(ips=("10.244.3.17", "fd00:244::17"))
ASKING = service(ports=[(8080, "TCP"), (8080, "UDP")], families=BOTH)
MAIN = [mapping(61005, protocol, family) for protocol in ("tcp", "udp") for family in BOTH]
SECOND = mapping(61001, "udp")
"""Lower than the first: of two numbers of one Pod port the lowest one counts otherwise."""
KEY = SECOND.key


def chains(*rules: tuple[int, str, str]) -> Antrea:
    ips = {"IPv4": "10.244.3.17", "IPv6": "fd00:244::17"}
    found = tuple(AntreaRule(n, f, p, ips[f], 8080) for n, p, f in rules)  # type: ignore[arg-type]
    return Antrea(chains=(AntreaChain("nft", "IPv4", found),))


SPLIT = chains((61005, "tcp", "IPv4"), (61001, "udp", "IPv4"), (61003, "tcp", "IPv6"))


def later(since: float | None = 900.0, *live: PortMapping, boot: str = "boot-1", **facts: Any) -> Observed:
    """A node whose chain is gone: with the mappings, the alias and what the last run stored of it."""
    stored = State(boot=boot, plan=planned(*MAIN), aliases=(Alias(KEY, WEB, since),))
    return observed(*(live or (*MAIN, SECOND)), state=stored, **facts)


def aliases(found: Decision) -> list[RuleKey]:
    return [m.key for m in found.aliases]


def numbers(found: Decision) -> set[int]:
    return {m.node_port for m in found.plan.mappings}


def test_a_second_number_by_protocol_or_family_is_an_alias_with_its_own_rule_and_no_entry() -> None:
    found = decided(POD, ASKING, on=observed(antrea=SPLIT))
    assert numbers(found) == {61005}
    assert aliases(found) == [RuleKey(61001, "IPv4", "udp"), RuleKey(61003, "IPv6", "tcp")]
    assert set(found.aliases) <= set(found.eligible) - set(found.plan.mappings)
    assert {change.reason for change in found.diff.changes if change.mapping in found.aliases} == {"alias"}
    (patch,) = found.patches
    assert "61001" not in (patch.annotation or "")
    assert "61003" not in (patch.annotation or "")
    assert found.next_state.aliases == tuple(Alias(key, WEB) for key in aliases(found))


def test_the_period_begins_when_the_chain_is_gone_and_ends_by_itself() -> None:
    begun = decided(POD, ASKING, on=later(None))
    assert begun.next_state.aliases == (Alias(KEY, WEB, 1000.0),)
    assert (begun.diff.changes, aliases(begun)) == ((), [KEY])
    inside = decided(POD, ASKING, on=later(now=900.0 + 1799))
    assert (inside.next_state.aliases, aliases(inside)) == ((Alias(KEY, WEB, 900.0),), [KEY])
    over = decided(POD, ASKING, on=later(now=900.0 + 1800))
    assert [(c.action, c.reason, c.mapping.key) for c in over.diff.changes] == [("delete", "alias-ended", KEY)]
    assert (aliases(over), numbers(over)) == ([], {61005})
    assert [c.number for c in over.next_state.cooling] == [61001]


@pytest.mark.parametrize("since", [5000.0, 900.0])
def test_a_clock_of_another_boot_or_of_the_future_begins_the_period_anew(since: float) -> None:
    found = decided(POD, ASKING, on=later(since, boot="boot-1" if since > 1000 else "boot-0"))
    assert found.next_state.aliases == (Alias(KEY, WEB, 1000.0),)


def test_an_alias_that_has_ended_stays_ended_until_its_rule_is_gone() -> None:
    over = decided(POD, ASKING, on=later(now=5000.0))
    assert over.next_state.aliases == (Alias(KEY, WEB, 900.0, ended=True),)
    stuck = observed(*MAIN, SECOND, state=replace(over.next_state, plan=planned(*MAIN)), now=5000.0)
    again = decided(POD, ASKING, on=stuck)
    assert (numbers(again), aliases(again)) == ({61005}, [])
    gone = decided(POD, ASKING, on=observed(*MAIN, state=again.next_state, now=5000.0))
    assert (gone.next_state.aliases, gone.diff.changes) == ((), ())


def test_its_number_is_never_its_pod_ports_nor_anybody_elses() -> None:
    other = pod("web-1", ("10.244.3.18",))
    found = decided(POD, other, ASKING, on=later())
    owners = {m.pod.name: m.node_port for m in found.plan.mappings}
    assert owners["web-0"] == 61005
    assert owners["web-1"] != 61001


def test_it_follows_its_pod_and_goes_with_it_or_with_the_request() -> None:
    moved = replace(POD, ips=("10.244.3.99", "fd00:244::17"))
    found = decided(moved, ASKING, on=later())
    assert [(m.key, m.pod_ip) for m in found.aliases] == [(KEY, "10.244.3.99")]
    for objects in ((ASKING,), (POD,), (POD, replace(ASKING, ports=ASKING.ports[:1]))):
        gone = decided(*objects, on=later())
        assert aliases(gone) == []
        assert KEY in {change.mapping.key for change in gone.diff.changes if change.action == "delete"}
        assert 61001 in {c.number for c in gone.next_state.cooling}


@pytest.mark.parametrize(
    "facts",
    [
        {"holds": Holds(True, (RANGE,), (Taken(61001, "udp", "x[1]"),))},
        {"holds": Holds(True, (PortRange(61002, 62000),))},
        {"antrea": chains((61005, "tcp", "IPv4"), (40000, "udp", "IPv4"))},
    ],
)
def test_a_number_that_is_not_held_or_outside_the_range_is_no_alias(facts: dict[str, Any]) -> None:
    known = {"antrea": chains((61005, "tcp", "IPv4"), (61001, "udp", "IPv4"))} | facts
    assert aliases(decided(POD, ASKING, on=observed(**known))) == []


def test_a_live_one_stays_while_no_daemon_answers() -> None:
    found = decided(POD, ASKING, on=later(holds=Holds(available=False, message="nobody answers")))
    assert aliases(found) == [KEY]
    assert found.diff.changes == ()


def test_where_the_numbers_are_one_there_is_no_alias() -> None:
    same = chains(*((61005, protocol, family) for protocol in ("tcp", "udp") for family in BOTH))
    found = decided(POD, ASKING, on=observed(antrea=same))
    assert (aliases(found), found.next_state.aliases) == ([], ())
