"""The namespaces that get the remaining ports."""

from collections import Counter

import worlds

from nplconf.desired import Desired, render
from nplconf.desired.ports import Previous
from nplconf.desired.shares import Share, Stock, share_out
from nplconf.model import Plan, PodPort, PortRange
from nplconf.plan.policy import Policy, Reserved


def owners(namespace: str, count: int) -> list[PodPort]:
    return [PodPort(f"{namespace}/web-{i}", 80) for i in range(count)]


def counted(*waiting: PodPort, free: int, **stock: object) -> dict[str, int]:
    found = share_out(waiting, Stock(free, stock.pop("cooling", {}), stock.pop("held", {}), **stock))  # type: ignore[arg-type]
    return dict(Counter(owner.namespace for owner in (*found.fresh, *found.reused)))


def test_namespaces_take_turns_whatever_their_names_and_numbers_of_requests() -> None:
    assert counted(*owners("a", 1000), *owners("b", 40), *owners("z", 3), free=10) == {"a": 4, "b": 3, "z": 3}


def test_a_namespace_with_fewer_numbers_is_served_first() -> None:
    waiting = (*owners("a", 5), *owners("b", 5))
    assert counted(*waiting, free=1, held={"a": 7, "b": 2}) == {"b": 1}


def test_a_namespace_at_its_share_gets_nothing_and_the_others_do() -> None:
    waiting = (*owners("a", 5), *owners("b", 5))
    found = share_out(waiting, Stock(100, {}, {"a": 8}, most=8))
    assert found.fresh == owners("b", 5)
    assert found.over == {"a"}


def test_a_namespace_that_finds_the_range_full_is_not_over_its_share() -> None:
    assert share_out(owners("a", 5), Stock(0, {}, {"a": 8}, most=8)).over == frozenset()


def test_cooling_numbers_count_against_the_share_of_their_namespace() -> None:
    cooling = {"a": list(range(61000, 61040))}
    waiting = (*owners("a", 100), *owners("b", 30))
    found = share_out(waiting, Stock(60, cooling, {}, most=51))
    assert len([owner for owner in found.fresh if owner.namespace == "a"]) == 11
    assert sorted(found.reused.values()) == cooling["a"]
    assert found.over == {"a"}


def test_the_longest_cooled_number_is_reused_when_no_other_is_left() -> None:
    found = share_out(owners("a", 3), Stock(1, {"a": [61005, 61001]}, {}, most=None))
    assert found.fresh == owners("a", 1)
    assert found.reused == dict(zip(owners("a", 3)[1:], (61005, 61001), strict=True))


def test_a_share_is_a_percentage_of_the_range() -> None:
    assert Share(50, PortRange(61000, 62000)).most == 501
    assert Share(1, PortRange(61000, 61000)).most == 1
    assert Share(100, PortRange(61000, 61009)).most > 10


# --- of a cluster ----------------------------------------------------------------------------------------------------

TEN = PortRange(61000, 61009)


def greedy(namespace: str, ports: int = 12) -> tuple[object, ...]:
    wanted = tuple((8000 + i, "TCP") for i in range(ports))
    pod = worlds.pod("p", [f"10.244.3.{len(namespace) + 1}"], namespace=namespace)
    return pod, worlds.service("s", wanted, namespace=namespace)


def rendered(*objects: object, past: Previous | None = None, **settings: object) -> Plan:
    state = worlds.cluster(worlds.node(), *objects)  # type: ignore[arg-type]
    return render(state, worlds.node(), Desired(TEN, **settings), past or Previous())  # type: ignore[arg-type]


def held(plan: Plan) -> dict[str, int]:
    return dict(Counter(m.pod.namespace for m in plan.mappings))


def test_one_service_cannot_take_the_whole_range() -> None:
    first = rendered(*greedy("a"))
    assert held(first) == {"a": 6}
    assert {row.reason for row in first.skipped} == {"namespace-share"}
    second = rendered(*greedy("a"), *greedy("victim", 2), past=worlds.past(first))
    assert held(second) == {"a": 6, "victim": 2}


def test_the_message_names_the_key_and_the_cap_that_raise_the_share() -> None:
    row = rendered(*greedy("a")).skipped[0]
    assert "namespaceShare" in row.message
    assert "caps.perNamespace" in row.message


def test_two_that_are_new_in_one_run_get_as_much() -> None:
    assert held(rendered(*greedy("aa"), *greedy("zzz"))) == {"aa": 5, "zzz": 5}


def test_a_number_in_use_is_never_taken_away_for_fairness() -> None:
    all_of_it = worlds.past(rendered(*greedy("a", 10), namespace_share=100))
    assert held(rendered(*greedy("a", 10), *greedy("bb"), past=all_of_it)) == {"a": 10}


def test_a_cap_of_a_policy_replaces_the_share() -> None:
    assert held(rendered(*greedy("a"), policy=Policy(per_namespace=9))) == {"a": 9}
    assert held(rendered(*greedy("a"), policy=Policy(per_namespace=3))) == {"a": 3}
    assert held(rendered(*greedy("a"), policy=Policy(per_pod=20))) == {"a": 6}


def test_a_range_of_its_own_is_used_to_its_end() -> None:
    policy = Policy(ranges=(Reserved("a", PortRange(61000, 61007), 0),))
    assert held(rendered(*greedy("a"), *greedy("bb"), policy=policy)) == {"a": 8, "bb": 2}
