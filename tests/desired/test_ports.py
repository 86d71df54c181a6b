"""The allocation of node ports."""

import json
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
import worlds
from cputime import assert_below
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from nplconf.desired.ports import Previous, allocate, preferred
from nplconf.model import PodPort, PortRange
from nplconf.plan.cooling import Cooling

SMALL = PortRange(61000, 61003)
A, B, C, D, E = (PodPort(f"shop/{name}", 80) for name in "abcde")


def given_numbers(
    *owners: PodPort, past: Previous | None = None, avoid: tuple[int, ...] = (), port_range: PortRange = SMALL
) -> dict[PodPort, int]:
    return allocate(dict.fromkeys(owners), port_range, frozenset(avoid), past or Previous()).given


def cooling(number: int, owner: PodPort, freed_at: float = 0.0) -> Cooling:
    return Cooling(number, owner, freed_at)


def annotation(*pairs: tuple[object, object]) -> str:
    return json.dumps([{"podPort": port, "nodePort": number} for port, number in pairs])


def test_a_new_pod_port_has_the_number_of_its_stable_hash() -> None:
    owner = PodPort("shop/web-0", 8080)
    assert preferred(owner, worlds.RANGE) == 61512
    assert given_numbers(owner, port_range=worlds.RANGE) == {owner: preferred(owner, worlds.RANGE)}


def test_a_number_that_is_not_available_is_passed_upwards() -> None:
    start = preferred(A, worlds.RANGE)
    past = Previous(taken=frozenset({start, start + 1}))
    assert given_numbers(A, port_range=worlds.RANGE, past=past, avoid=(start + 2,)) == {A: start + 3}


def test_probing_wraps_at_the_end_of_the_range() -> None:
    last = next(o for i in range(99) if preferred(o := PodPort(f"shop/n{i}", 80), SMALL) == SMALL.last)
    assert given_numbers(last, avoid=(SMALL.last,)) == {last: SMALL.first}


def test_the_most_trusted_source_decides() -> None:
    past = Previous(({A: 61001}, {A: 61002, B: 61001, C: 61003}))
    assert given_numbers(A, C, past=past) == {A: 61001, C: 61003}


def test_a_number_that_two_had_stays_with_the_more_trusted_one() -> None:
    numbers = given_numbers(A, B, past=Previous(({B: 61001}, {A: 61001})))
    assert numbers[B] == 61001
    assert numbers[A] != 61001


@pytest.mark.parametrize("number", [60999, 61004, 0, -1, 70000])
def test_a_previous_number_outside_the_range_moves_into_it(number: int) -> None:
    assert given_numbers(A, past=Previous(({A: number},)))[A] in SMALL


def test_a_previous_number_that_another_program_has_now_moves() -> None:
    assert given_numbers(A, past=Previous(({A: 61001},)), avoid=(61001,))[A] != 61001
    assert given_numbers(A, past=Previous(({A: 61001},), taken=frozenset({61001})))[A] != 61001


def test_a_number_is_not_lost_to_a_newcomer_that_hashes_to_it() -> None:
    owners = [PodPort(f"shop/n{i}", 80) for i in range(3)]
    past = Previous(({D: preferred(owners[0], SMALL)},))
    assert given_numbers(*owners, D, past=past)[D] == preferred(owners[0], SMALL)


def test_a_cooling_number_is_taken_back_by_its_owner() -> None:
    other = next(n for n in range(61000, 61004) if n != preferred(A, SMALL))
    assert given_numbers(A, past=Previous(cooling=(cooling(other, A),))) == {A: other}


@pytest.mark.parametrize(("later", "earlier"), [(61003, 61001), (61001, 61003)])
def test_of_two_cooling_numbers_an_owner_takes_back_the_later(later: int, earlier: int) -> None:
    freed = (cooling(earlier, A, 5.0), cooling(later, A, 9.0))
    assert given_numbers(A, past=Previous(cooling=freed)) == {A: later}
    assert given_numbers(A, past=Previous(cooling=freed[::-1])) == {A: later}


@pytest.mark.parametrize("later", [30000, 61003])
def test_an_earlier_cooling_number_is_taken_back_when_the_later_is_not_available(later: int) -> None:
    past = Previous(taken=frozenset({61003}), cooling=(cooling(later, A, 9.0), cooling(61001, A, 5.0)))
    assert given_numbers(A, past=past) == {A: 61001}


def test_a_cooling_port_is_given_to_no_other_pod_while_another_is_free() -> None:
    past = Previous(cooling=(cooling(61000, D), cooling(61001, D), cooling(61003, D)))
    assert given_numbers(A, past=past) == {A: 61002}


def test_when_nothing_else_is_free_the_longest_cooled_number_is_used() -> None:
    past = Previous(cooling=tuple(cooling(61000 + i, E, at) for i, at in enumerate((7.0, 3.0, 5.0, 9.0))))
    assert given_numbers(A, B, past=past) == {A: 61001, B: 61002}


VICTIM = PodPort("bank/a", 80)


@pytest.mark.parametrize("annotation_of_attacker", [None, '[{"podPort":80,"nodePort":61000}]'])
def test_a_cooling_number_never_goes_to_another_namespace(annotation_of_attacker: str | None) -> None:
    for freed in range(61000, 61004):
        past = Previous(cooling=(cooling(freed, VICTIM),))
        asking = dict.fromkeys((A, B, C, D, E), annotation_of_attacker)
        numbers = allocate(asking, SMALL, frozenset(), past).given
        assert freed not in numbers.values()
        assert len(numbers) == 3


def test_a_cooling_number_goes_back_to_its_owner_though_the_range_is_full() -> None:
    past = Previous(cooling=(cooling(61002, VICTIM),))
    assert given_numbers(A, B, C, D, E, VICTIM, past=past)[VICTIM] == 61002


def test_a_number_that_two_namespaces_freed_stays_with_the_later_one() -> None:
    freed = (cooling(61000, A, 1.0), cooling(61000, VICTIM, 8.0))
    for order in (freed, freed[::-1]):
        past = Previous(cooling=order)
        assert given_numbers(B, past=past, avoid=(61001, 61002, 61003)) == {}


def test_a_number_that_was_freed_twice_has_cooled_since_the_second_time() -> None:
    freed = (cooling(61000, E, 1.0), cooling(61000, D, 8.0), cooling(61001, E, 5.0))
    for order in (freed, freed[::-1]):
        assert given_numbers(A, past=Previous(cooling=order), avoid=(61002, 61003)) == {A: 61001}


def test_a_cooling_number_that_is_taken_is_not_used() -> None:
    past = Previous(taken=frozenset({61000}), cooling=(cooling(61000, E),))
    assert given_numbers(A, past=past, avoid=(61001, 61002, 61003)) == {}


def hinted(text: str | None, past: Previous | None = None, avoid: tuple[int, ...] = ()) -> int | None:
    return allocate({A: text}, SMALL, frozenset(avoid), past or Previous()).given.get(A)


OTHER = next(n for n in range(61000, 61004) if n != preferred(A, SMALL))


MOST_OF_KUBERNETES = 262_144


def test_the_pods_annotation_is_a_hint_up_to_the_size_that_kubernetes_allows() -> None:
    assert hinted(annotation((80, OTHER))) == OTHER
    assert hinted(annotation((80, OTHER)).ljust(MOST_OF_KUBERNETES)) == OTHER


def test_the_first_number_of_the_annotation_that_is_available_counts() -> None:
    first, second = (n for n in range(61000, 61004) if n not in (OTHER, preferred(A, SMALL)))
    text = annotation((80, 4001), (81, OTHER), (80, first), (80, second))
    assert hinted(text) == first
    assert hinted(text, avoid=(first,)) == second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "[" * 100_000,
        "[" + "9" * 5000 + "]",
        "{}",
        "null",
        "[[1]]",
        '[{"podPort": 80}]',
        annotation((80, str(OTHER))),
        annotation((80, float(OTHER))),
        annotation(("80", OTHER)),
        annotation((80.0, OTHER)),
        annotation(([80], OTHER)),
        annotation((80, True)),
        annotation((True, OTHER)),
        annotation((80, 22)),
        annotation((80, [OTHER])),
        annotation((80, OTHER)).ljust(MOST_OF_KUBERNETES + 1),
    ],
)
def test_an_annotation_of_another_author_is_no_hint(text: str) -> None:
    assert hinted(text) == preferred(A, SMALL)


@given(st.permutations([A, B, C, D, VICTIM]), st.integers(61000, 61003))
def test_a_number_that_two_annotations_claim_goes_to_none_of_them(order: list[PodPort], number: int) -> None:
    claim = annotation((80, number))
    asking: dict[PodPort, str | None] = {owner: claim if owner in (A, VICTIM) else None for owner in order}
    numbers = allocate(asking, PortRange(61000, 61009), frozenset(), Previous()).given
    assert number not in numbers.values()


def test_contested_numbers_are_given_when_no_other_is_left() -> None:
    claims = {owner: annotation((80, n)) for owner, n in zip((A, B, C, D), (61000, 61000, 61001, 61001), strict=True)}
    assert len(allocate(claims, SMALL, frozenset(), Previous()).given) == 4


def test_a_forged_annotation_does_not_move_who_has_a_number() -> None:
    claim = annotation((80, OTHER))
    numbers = allocate({A: claim, VICTIM: claim}, SMALL, frozenset(), Previous(({VICTIM: OTHER},))).given
    assert numbers[VICTIM] == OTHER


def test_a_number_of_before_is_preferred_and_cannot_be_claimed() -> None:
    past = Previous(before={VICTIM: OTHER})
    numbers = allocate({A: annotation((80, OTHER)), VICTIM: None}, SMALL, frozenset(), past).given
    assert numbers[VICTIM] == OTHER


def test_an_annotation_does_not_get_a_number_that_cools_for_another_pod() -> None:
    assert hinted(annotation((80, OTHER)), Previous(cooling=(cooling(OTHER, B),))) != OTHER


def test_an_annotation_does_not_get_a_number_that_another_pod_had() -> None:
    numbers = allocate({A: annotation((80, OTHER)), B: None}, SMALL, frozenset(), Previous(({B: OTHER},))).given
    assert numbers[B] == OTHER
    assert numbers[A] != OTHER


def test_a_full_range_serves_those_who_had_a_number_and_then_the_first_by_name() -> None:
    numbers = given_numbers(A, B, C, D, E, past=Previous(({E: 61002},)))
    assert sorted(numbers) == [A, B, C, E]
    assert sorted(numbers.values()) == [61000, 61001, 61002, 61003]
    assert numbers[E] == 61002


def test_a_range_of_one_number_serves_one() -> None:
    assert given_numbers(B, A, port_range=PortRange(61000, 61000)) == {A: 61000}


OWNERS = st.builds(
    PodPort, st.sampled_from([f"{n}/{c}" for n in ("shop", "bank") for c in "abcd"]), st.integers(79, 81)
)
NUMBERS = st.integers(60998, 61010)
WIDE = PortRange(61000, 61007)
PASTS = st.builds(
    Previous,
    st.lists(st.dictionaries(OWNERS, NUMBERS), max_size=2).map(tuple),
    st.frozensets(NUMBERS, max_size=3),
    st.lists(st.builds(Cooling, NUMBERS, OWNERS, st.floats(0, 99)), max_size=6).map(tuple),
    st.dictionaries(OWNERS, NUMBERS, max_size=3),
)


@given(st.lists(OWNERS, unique=True), st.frozensets(NUMBERS, max_size=3), PASTS, st.randoms())
def test_numbers_are_unique_free_and_the_same_in_any_order(
    owners: list[PodPort], avoid: frozenset[int], past: Previous, random: Random
) -> None:
    numbers = allocate(dict.fromkeys(owners), WIDE, avoid, past).given
    assert len(set(numbers.values())) == len(numbers)
    assert all(n in WIDE and n not in avoid | past.taken for n in numbers.values())
    shuffled = random.sample(owners, len(owners))
    assert allocate(dict.fromkeys(shuffled), WIDE, avoid, past).given == numbers


@given(st.lists(OWNERS, unique=True), st.frozensets(NUMBERS, max_size=3), PASTS)
def test_a_pod_gets_no_port_only_if_its_namespace_can_have_none(
    owners: list[PodPort], avoid: frozenset[int], past: Previous
) -> None:
    found = allocate(dict.fromkeys(owners), WIDE, avoid, past)
    free = {n for n in range(WIDE.first, WIDE.last + 1) if n not in avoid | past.taken} - set(found.given.values())
    last = {c.number: c.owner.namespace for c in sorted(past.cooling, key=lambda c: (c.freed_at, c.owner))}
    for owner in set(owners) - found.given.keys():
        assert all(last.get(number, owner.namespace) != owner.namespace for number in free)
    assert found.over_share == frozenset()


@given(st.lists(OWNERS, unique=True), st.frozensets(NUMBERS, max_size=3), PASTS, st.integers(1, 9))
def test_a_cooling_number_and_a_share_are_kept_to_whatever_the_past(
    owners: list[PodPort], avoid: frozenset[int], past: Previous, most: int
) -> None:
    found = allocate(dict.fromkeys(owners), WIDE, avoid, past, most)
    last = {c.number: c.owner.namespace for c in sorted(past.cooling, key=lambda c: (c.freed_at, c.owner))}
    known = {(owner, number) for source in past.numbers for owner, number in source.items()}
    known |= {(c.owner, c.number) for c in past.cooling}
    new = [(owner, number) for owner, number in found.given.items() if (owner, number) not in known]
    assert all(last.get(number, owner.namespace) == owner.namespace for owner, number in new)
    held = Counter(owner.namespace for owner in found.given)
    assert all(held[owner.namespace] <= most for owner, _ in new)
    assert all(held[owner.namespace] >= most for owner in found.over_share)
    again = allocate(dict.fromkeys(owners), WIDE, avoid, replace(past, numbers=(found.given,)), most)
    assert again == found


@given(st.lists(OWNERS, unique=True), st.lists(OWNERS, unique=True), PASTS)
def test_a_pod_that_stays_keeps_its_port_whatever_pods_come_and_go(
    before: list[PodPort], after: list[PodPort], past: Previous
) -> None:
    was = allocate(dict.fromkeys(before), WIDE, frozenset(), past).given
    now = allocate(dict.fromkeys(after), WIDE, frozenset(), Previous((was,), past.taken, past.cooling)).given
    assert all(now[owner] == was[owner] for owner in after if owner in was)


def test_a_nearly_full_range_of_ten_thousand_is_filled_in_linear_time() -> None:
    owners = dict.fromkeys(PodPort(f"shop/web-{i}", 80) for i in range(10_000))
    span = PortRange(50000, 59999)
    numbers = allocate(owners, span, frozenset(), Previous()).given
    assert sorted(numbers.values()) == list(range(50000, 60000))
    assert_below(0.5, lambda: allocate(owners, span, frozenset(), Previous()))


def test_ten_thousand_names_that_hash_to_one_number_are_served_as_fast(mocker: MockerFixture) -> None:
    mocker.patch("nplconf.desired.ports.preferred", return_value=50000)
    owners = dict.fromkeys(PodPort(f"shop/web-{i}", 80) for i in range(10_000))
    span = PortRange(50000, 59999)
    assert len(allocate(owners, span, frozenset(), Previous()).given) == 10_000
    assert_below(0.5, lambda: allocate(owners, span, frozenset(), Previous()))
