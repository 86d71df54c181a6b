"""The difference of two sets of mappings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import mapping, ref

from nplconf.model import PortMapping
from nplconf.plan.diff import Diff, compare, diff, with_objects_of
from nplconf.plan.live import NOBODY


def subtract(was: list[PortMapping], want: list[PortMapping]) -> Diff:
    return diff(was, want, why_add=lambda _: "new", why_delete=lambda _: "gone")


def actions(found: Diff) -> list[tuple[str, str, int]]:
    return [(c.action, c.reason, c.mapping.node_port) for c in found.changes]


def test_the_same_mappings_make_no_change() -> None:
    found = subtract([mapping()], [mapping()])
    assert found.changes == ()
    assert found.unchanged == (mapping(),)


def test_a_moved_number_is_a_change_and_no_removal() -> None:
    assert actions(subtract([mapping(61001)], [mapping(61002)])) == [("change", "number-moved", 61002)]


def test_of_two_numbers_that_a_pod_had_the_one_that_is_wanted_stays_where_it_is() -> None:
    found = subtract([mapping(61001), mapping(61002)], [mapping(61002)])
    assert actions(found) == [("delete", "gone", 61001)]
    assert found.unchanged == (mapping(61002),)


def test_of_two_numbers_that_a_pod_had_the_lower_one_moves_and_the_other_goes() -> None:
    for was in ([mapping(61001), mapping(61002)], [mapping(61002), mapping(61001)]):
        found = subtract(was, [mapping(61003)])
        assert actions(found) == [("delete", "gone", 61002), ("change", "number-moved", 61003)]
        assert found.changes[1].was == mapping(61001)


def test_deletes_come_first_then_changes_then_adds() -> None:
    was = [mapping(61003, pod=ref("a")), mapping(61002, pod=ref("b"))]
    want = [mapping(61001, pod=ref("c")), mapping(61002, pod=ref("b"), pod_ip="10.244.3.9")]
    found = subtract(was, want)
    assert [c.action for c in found.changes] == ["delete", "change", "add"]
    assert [found.count(action) for action in ("delete", "change", "add", "none")] == [1, 1, 1, 0]


def test_other_source_ranges_are_a_change() -> None:
    closed = mapping()._replace(source_ranges=("10.0.0.0/8",))
    assert actions(subtract([mapping()], [closed])) == [("change", "source-ranges-changed", 61044)]


def test_another_address_is_a_change() -> None:
    found = subtract([mapping(pod_ip="10.244.3.1")], [mapping(pod_ip="10.244.3.2")])
    assert actions(found) == [("change", "pod-ip-changed", 61044)]
    assert found.changes[0].was == mapping(pod_ip="10.244.3.1")


def test_a_pod_that_was_made_again_is_a_change() -> None:
    assert actions(subtract([mapping(pod=ref(uid="a"))], [mapping(pod=ref(uid="b"))])) == [
        ("change", "pod-replaced", 61044)
    ]


def test_a_number_that_passes_to_another_pod_is_a_delete_and_an_add() -> None:
    found = subtract([mapping(pod=ref("a"))], [mapping(pod=ref("b"))])
    assert actions(found) == [("delete", "gone", 61044), ("add", "new", 61044)]


def test_a_rule_without_owner_is_overwritten_if_its_port_is_wanted() -> None:
    assert actions(subtract([mapping(pod=NOBODY)], [mapping()])) == [("change", "owner-unknown", 61044)]


def test_a_rule_without_owner_is_removed_if_its_port_is_not_wanted() -> None:
    assert actions(subtract([mapping(pod=NOBODY)], [])) == [("delete", "gone", 61044)]


def test_a_rule_without_owner_is_overwritten_by_a_pod_that_moves_to_its_port() -> None:
    was = [mapping(61001), mapping(61044, pod=NOBODY)]
    assert actions(subtract(was, [mapping(61044)])) == [("change", "number-moved", 61044)]


def test_a_rule_that_is_there_twice_counts_once() -> None:
    assert subtract([mapping(), mapping()], [mapping()]).changes == ()


def test_host_ports_have_no_rules() -> None:
    assert subtract([], [mapping(via="hostPort")]) == Diff((), ())
    assert subtract([mapping(via="hostPort")], []) == Diff((), ())


def test_protocols_and_families_of_one_number_are_distinguished() -> None:
    both = [mapping(), mapping(protocol="udp"), mapping(family="IPv6")]
    assert actions(subtract(both, both[:1])) == [("delete", "gone", 61044)] * 2


def test_other_services_alone_change_no_rule() -> None:
    assert subtract([mapping(services=["a/a"])], [mapping(services=["b/b"])]).changes == ()


MAPPINGS = st.lists(
    st.builds(
        lambda number, name, uid, ip, port: mapping(
            61000 + number, pod=ref(name, uid=uid), pod_ip=f"10.0.0.{ip}", pod_port=port
        ),
        st.integers(0, 3),
        st.sampled_from("ab"),
        st.sampled_from("xy"),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    max_size=6,
    unique_by=lambda m: m.node_port,
)


@given(MAPPINGS, MAPPINGS)
def test_a_diff_leads_from_any_state_to_any_other(was: list[PortMapping], want: list[PortMapping]) -> None:
    found = subtract(was, want)
    now = {m.node_port: m for m in was}
    for change in found.changes:
        if change.was and now.get(change.was.node_port) == change.was:
            del now[change.was.node_port]
    for change in found.changes:
        if change.action != "delete":
            now[change.mapping.node_port] = change.mapping
    assert sorted(now.values(), key=lambda m: m.node_port) == sorted(want, key=lambda m: m.node_port)


@given(MAPPINGS, st.randoms())
def test_the_order_of_either_side_makes_no_difference(rows: list[PortMapping], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    changed = [m._replace(pod_ip="10.0.0.9") for m in rows]
    assert subtract(rows, changed).changes == subtract(shuffled, list(reversed(changed))).changes


def test_between_two_plans_a_host_port_is_a_row_like_others() -> None:
    host = mapping(4001, via="hostPort")
    assert actions(compare([], [host, mapping()])) == [("add", "new", 4001), ("add", "new", 61044)]
    assert actions(compare([host], [mapping(4002, via="hostPort")])) == [("change", "number-moved", 4002)]
    assert actions(compare([host], [])) == [("delete", "gone", 4001)]
    assert compare([host], [host]) == Diff((), (host,))
    assert actions(compare([host], [mapping()])) == [("change", "via-changed", 61044)]


def test_between_two_plans_published_fields_and_services_count() -> None:
    moved, other = mapping()._replace(node_ip="10.10.10.11"), mapping()._replace(services=("shop/other",))
    assert actions(compare([mapping()], [moved])) == [("change", "node-ip-changed", 61044)]
    assert subtract([mapping()], [moved]).changes == ()
    assert actions(compare([mapping()], [other])) == [("change", "services-changed", 61044)]
    assert compare([mapping()], [mapping()]) == Diff((), (mapping(),))


# --- equal parts are not compared one by one -------------------------------------------------------------------------

ROWS = st.builds(
    mapping,
    st.integers(61001, 61006),
    pod=st.sampled_from([ref("a"), ref("b"), ref("a", uid="new"), NOBODY]),
    pod_ip=st.sampled_from(["10.244.3.1", "10.244.3.2"]),
    family=st.sampled_from(["IPv4", "IPv6"]),
)
SORTED = st.lists(ROWS, max_size=12).map(lambda rows: sorted(rows, key=lambda m: (m.key, m.pod, m.pod_ip)))


@given(SORTED, SORTED, st.integers(0, 12), st.integers(0, 12))
def test_equal_ends_change_nothing_of_the_difference(
    was: list[PortMapping], want: list[PortMapping], first: int, last: int
) -> None:
    planned = {m.key: m for m in (*want, *was[:first], *was[len(was) - last :])}  # a plan has one row per key
    want = [planned[key] for key in sorted(planned)]
    found = subtract(was, want)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nplconf.plan.diff.equal_ends", lambda *_: (0, 0))
        assert subtract(was, want) == found


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 30), max_size=12))
def test_mappings_that_are_known_become_the_known_objects(known: list[int], wanted: list[int]) -> None:
    before, now = (tuple(mapping(61000 + port) for port in sorted(ports)) for ports in (known, wanted))
    found = with_objects_of(before, now)
    assert found == now
    if known == wanted:
        assert all(one is other for one, other in zip(found, before, strict=True))
