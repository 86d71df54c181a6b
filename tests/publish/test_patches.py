"""The Pods whose annotations are patched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import mapping, pod, ref

from nplconf.cache import Cache
from nplconf.model import Family, Patch, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import Form, entries, render
from nplconf.publish.patches import final, withdrawals

TEXT = render(entries([mapping()]))
BOTH = [mapping(), mapping(61045, pod_port=9000)]


def test_a_pod_with_the_right_annotation_is_not_patched() -> None:
    assert final([pod(annotation=TEXT)], [mapping()]) == ()


def test_a_pod_without_an_annotation_is_patched() -> None:
    assert final([pod()], [mapping()]) == (Patch(pod().ref, TEXT),)


def test_the_last_mapping_leaves_an_empty_list() -> None:
    # AKO ignores a Pod without the key, and would keep its members for ever
    assert final([pod(annotation=TEXT)], []) == (Patch(pod().ref, "[]"),)
    assert final([pod(annotation="[]")], []) == ()


def test_a_removed_key_is_the_choice_of_the_administrator() -> None:
    form = Form(empty=False)
    assert final([pod(annotation=TEXT)], [], form) == (Patch(pod().ref, None),)
    assert final([pod(annotation="[]")], [], form) == (Patch(pod().ref, None),)
    assert withdrawals([pod(annotation=TEXT)], [], form) == (Patch(pod().ref, None),)


@pytest.mark.parametrize("families", [("IPv4",), ("IPv6",), ("IPv4", "IPv6"), ()])
def test_only_the_families_that_are_published_are_listed(families: tuple[Family, ...]) -> None:
    rows = [mapping(family="IPv4"), mapping(family="IPv6")]
    listed = entries(row for row in rows if row.family in families)
    both = pod(annotation=render(entries(rows)))
    expected = [Patch(both.ref, render(listed))] if len(families) < 2 else []
    assert final([both], rows, Form(families=families)) == tuple(expected)
    assert withdrawals([both], rows, Form(families=families)) == tuple(expected)
    assert final([pod()], rows, Form(families=())) == ()


def test_a_pod_of_the_same_name_with_another_uid_does_not_get_the_old_mappings() -> None:
    assert final([pod(uid="new")], [mapping()]) == ()


def test_the_right_entries_in_another_form_are_written_anew() -> None:
    assert final([pod(annotation=f" {TEXT}")], [mapping()]) == (Patch(pod().ref, TEXT),)


def test_an_entry_that_goes_is_withdrawn_and_the_others_stay() -> None:
    published = pod(annotation=render(entries(BOTH)))
    assert withdrawals([published], [mapping()]) == (Patch(published.ref, TEXT),)


def test_what_stays_after_a_withdrawal_stays_in_its_order() -> None:
    rows = [mapping(61000 + port, pod_port=port) for port in range(1, 9)]
    published = pod(annotation=render(entries(rows)))
    assert withdrawals([published], rows[:-1]) == (Patch(published.ref, render(entries(rows[:-1]))),)


def test_a_pod_without_an_annotation_has_nothing_to_lose() -> None:
    assert withdrawals([pod()], []) == final([pod()], []) == ()


def test_patches_are_sorted_by_pod() -> None:
    published = [pod(name, annotation=TEXT) for name in ("b", "a", "c")]
    for found in (final(published, []), withdrawals(published, [])):
        assert [patch.pod.name for patch in found] == ["a", "b", "c"]


def test_an_entry_to_come_is_not_in_the_withdrawal() -> None:
    assert withdrawals([pod(annotation=TEXT)], [mapping(61099)]) == (Patch(pod().ref, "[]"),)


def test_a_pod_that_only_gains_is_not_written_early() -> None:
    assert withdrawals([pod(annotation=TEXT)], BOTH) == ()


OTHER_ROWS = [mapping(61100 + index, pod=ref(f"web-{index}")) for index in range(2, 12)]
OTHERS = [pod(row.pod.name, annotation=TEXT if row.node_port % 2 else render(entries([row]))) for row in OTHER_ROWS]
"""Pods that no run changes, so that few change in each. Half of them have a wrong annotation."""
ROWS = st.lists(st.sampled_from((mapping(), mapping(61045, pod_port=9000), mapping(family="IPv6"))), unique=True)
TEXTS = st.sampled_from((None, "", "[]", TEXT, render(entries(BOTH)), f" {TEXT}"))
FORMS = st.builds(Form, empty=st.booleans(), families=st.sampled_from((("IPv4",), ("IPv4", "IPv6"))))


@given(st.lists(st.tuples(ROWS, TEXTS, st.booleans(), FORMS), max_size=8))
def test_what_earlier_runs_found_correct_changes_no_patch(
    runs: list[tuple[list[PortMapping], str | None, bool, Form]],
) -> None:
    cache, now = Cache(lasting=True), None
    for rows, text, changed, form in runs:
        now = text if changed else now  # otherwise it is as the last run has left it
        pods = [pod(annotation=now), *OTHERS, pod("web-1", annotation=text)]
        mappings = [*rows, *OTHER_ROWS]
        found = final(pods, mappings, form, cache=cache)
        assert found == final(pods, mappings, form)
        now = next((patch.annotation for patch in found if patch.pod == ref()), now)


def test_only_the_annotations_of_pods_that_changed_are_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(lasting=True)
    before = final(OTHERS, OTHER_ROWS, cache=cache)
    assert len(before) == 5
    rendered: list[object] = []
    text = annotation.text

    def counted(*given: Any) -> str | None:
        rendered.append(given)
        return text(*given)

    monkeypatch.setattr(annotation, "text", counted)
    assert final(OTHERS, OTHER_ROWS, cache=cache) == before
    assert rendered == []
    moved = [OTHER_ROWS[0]._replace(node_port=61200), *OTHER_ROWS[1:]]
    assert len(final(OTHERS, moved, cache=cache)) == 6
    assert len(rendered) == 1
