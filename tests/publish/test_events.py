"""Events: each reason is announced once, and again only after a change."""

from collections import Counter
from dataclasses import replace

import pytest
import worlds
from cputime import assert_below
from worlds import cluster, mapping, pod, ref, service

from nplconf.model import Plan, Pod, PortMapping, Skipped
from nplconf.publish import annotation
from nplconf.publish.events import MOST, WAITING, Outcome, due, unannounced

ROW = mapping()
TOLD = annotation.render([annotation.entry(ROW)])


def outcome(*pods: Pod, mappings: tuple[PortMapping, ...] = (), skipped: tuple[Skipped, ...] = ()) -> Outcome:
    """A run after which each Pod has the annotation of its mappings."""
    plan = replace(worlds.plan(*mappings), skipped=skipped)
    published = {p.ref: annotation.render(annotation.entries(m for m in mappings if m.pod == p.ref)) for p in pods}
    return Outcome(plan, cluster(*pods, service()), published)


def skip(reason: str = "protocol-unsupported", name: str | None = "shop/web-0", by: str = "shop/web") -> Skipped:
    return Skipped(name, 9090, "sctp", by, reason, "SCTP is not mapped")


def said_of(found: Outcome, last: Plan | None = None) -> dict[str, str]:
    return due(found, last, {})[1]


def test_a_mapped_pod_is_announced_once() -> None:
    found = outcome(pod(), mappings=(ROW,))

    (event,), output, _ = due(found, None, {})

    assert (event.kind, event.namespace, event.name, event.uid) == ("Pod", "shop", "web-0", "uid-web-0")
    assert (event.reason, event.note) == ("NodePortMapped", "reachable: 8080/tcp at 10.10.10.10:61044")
    assert not event.warning
    assert due(outcome(pod(annotation=TOLD), mappings=(ROW,)), found.plan, output) == ((), output, ())


def test_a_removed_annotation_is_announced() -> None:
    mapped = outcome(pod(annotation=TOLD), mappings=(ROW,))
    removed = outcome(pod(), mappings=(ROW,))
    output = said_of(mapped, mapped.plan)

    (event,), after, _ = due(removed, mapped.plan, output)

    assert (event.reason, event.warning) == ("AnnotationForged", True)
    assert "removed" in event.note
    assert due(mapped, mapped.plan, after) == ((), after, ())


def test_an_annotation_that_was_never_written_was_not_removed() -> None:
    assert reasons(outcome(pod(), mappings=(ROW,)), worlds.plan(ROW), {}) == ["NodePortMapped"]


def test_another_number_is_announced_again() -> None:
    output = said_of(outcome(pod(), mappings=(ROW,)))

    (event,), *_ = due(outcome(pod(), mappings=(mapping(61045),)), None, output)

    assert "61045" in event.note


def test_what_is_mapped_again_later_is_announced_again() -> None:
    mapped, unmapped = outcome(pod(), mappings=(ROW,)), outcome(pod())
    output = said_of(mapped)
    events, output, _ = due(unmapped, None, output)
    assert events == ()

    assert len(due(mapped, None, output)[0]) == 1


def test_a_pod_created_again_under_its_name_gets_its_own_event() -> None:
    output = said_of(outcome(pod(), mappings=(ROW,)))
    again = pod(uid="uid-2")

    (event,), output, _ = due(outcome(again, mappings=(mapping(pod=again.ref),)), None, output)

    assert event.uid == "uid-2"
    assert len(output) == 1


def test_a_skipped_port_is_announced_once_per_reason() -> None:
    first = outcome(pod(), skipped=(skip(),))
    (event,), output, _ = due(first, None, {})
    assert (event.reason, event.warning) == ("ProtocolUnsupported", True)
    assert event.note == "9090 (sctp) of Service shop/web is not mapped: SCTP is not mapped"
    assert due(first, None, output)[0] == ()

    (event,), *_ = due(outcome(pod(), skipped=(skip("policy"),)), None, output)

    assert event.reason == "Policy"


def test_a_port_skipped_twice_once_per_family_is_one_event() -> None:
    found = outcome(pod(), skipped=(skip("pod-ip-missing"), skip("node-ip-missing")))

    events, output, _ = due(found, None, {})

    assert len(events) == 1
    assert due(found, None, output)[0] == ()


def test_a_port_that_is_skipped_for_the_same_reasons_in_another_order_is_not_announced_again() -> None:
    rows = skip("pod-ip-missing"), skip("node-ip-missing"), skip("policy")
    output = said_of(outcome(pod(), skipped=rows))
    assert list(output.values()) == ["node-ip-missing+pod-ip-missing+policy"]
    assert due(outcome(pod(), skipped=rows[::-1]), None, output)[0] == ()


def test_a_skipped_service_gets_the_event_and_no_other_does() -> None:
    found = outcome(skipped=(skip("service-type", None),))
    found = replace(found, cluster=cluster(service("api"), service()))
    (event,), *_ = due(found, None, {})

    assert (event.kind, event.name, event.uid, event.reason) == ("Service", "web", "uid-web", "ServiceType")
    assert event.warning


def test_a_skipped_pod_that_the_run_did_not_read_is_not_announced_on_its_service() -> None:
    assert due(outcome(skipped=(skip(),)), None, {}) == ((), {}, ())


def test_every_mapping_of_a_pod_is_announced_with_its_address() -> None:
    rows = (ROW, mapping(family="IPv6"), mapping(61045, pod_port=9090))
    (event,), *_ = due(outcome(pod(), mappings=rows), None, {})
    assert event.note == (
        "reachable: 8080/tcp at 10.10.10.10:61044, 8080/tcp at [fd00:10::10]:61044, 9090/tcp at 10.10.10.10:61045"
    )


def test_an_annotation_with_invalid_unicode_is_announced_as_any_other() -> None:
    assert reasons(outcome(pod(annotation="\ud800"), mappings=(ROW,)), worlds.plan(ROW), {})[0] == "AnnotationForged"


# --- forged ----------------------------------------------------------------------------------------------------------


def reasons(found: Outcome, last: Plan | None, output: dict[str, str]) -> list[str]:
    return [event.reason for event in due(found, last, output)[0]]


@pytest.mark.parametrize("text", ["forged", "[]", '[{"podPort":8080,"nodeIP":"6.6.6.6","nodePort":61044}]', f" {TOLD}"])
def test_an_annotation_of_another_author_is_announced_once(text: str) -> None:
    last = worlds.plan(ROW)
    found = outcome(pod(annotation=text), mappings=(ROW,))
    output = said_of(outcome(pod(), mappings=(ROW,)))

    events, after, _ = due(found, last, output)

    assert [(event.reason, event.warning) for event in events] == [("AnnotationForged", True)]
    assert reasons(found, last, after) == []
    assert due(outcome(pod(annotation=TOLD), mappings=(ROW,)), last, after) == ((), after, ())
    another = outcome(pod(annotation="another"), mappings=(ROW,))
    assert reasons(another, last, after) == ["AnnotationForged"]


def test_a_forged_annotation_of_an_unselected_pod_is_announced() -> None:
    assert reasons(outcome(pod(annotation=TOLD)), worlds.plan(), {}) == ["AnnotationForged"]


def test_our_own_annotation_is_not_forged_in_whole_or_in_part() -> None:
    rows = (ROW, mapping(61045, pod_port=9090))
    both = annotation.render(annotation.entries(rows))
    for text in (TOLD, both):
        found = outcome(pod(annotation=text), mappings=rows)
        assert "AnnotationForged" not in reasons(found, worlds.plan(*rows), {})


def test_an_annotation_that_could_not_be_changed_is_not_forged() -> None:
    output = said_of(outcome(pod(), mappings=(ROW,)))
    found = outcome(pod(annotation=TOLD), mappings=(mapping(61045),))

    assert reasons(found, worlds.plan(mapping(61045)), output) == ["NodePortMapped"]


def test_the_first_run_announces_no_forged_annotation() -> None:
    assert reasons(outcome(pod(annotation="Antrea's")), None, {}) == []


# --- how many, and when ----------------------------------------------------------------------------------------------


def many(count: int) -> Outcome:
    pods = [pod(f"web-{i}", (f"10.244.3.{i}",)) for i in range(count)]
    return outcome(*pods, mappings=tuple(mapping(61000 + i, pod=ref(f"web-{i}")) for i in range(count)))


def test_a_run_posts_a_limited_number_and_the_next_runs_post_the_rest() -> None:
    found = many(2 * MOST + 1)
    output: dict[str, str] = {}
    counts = []
    for _ in range(4):
        events, output, _ = due(found, None, output)
        counts.append(len(events))

    assert counts == [MOST, MOST, 1, 0]


def test_what_could_not_be_posted_is_posted_by_the_next_run() -> None:
    found = many(3)
    events, after, _ = due(found, None, {})

    output = unannounced(after, {}, events[1:])

    assert [event.name for event in due(found, None, output)[0]] == ["web-1", "web-2"]


def test_an_old_announcement_stays_until_the_new_one_is_posted() -> None:
    before = said_of(outcome(pod(), mappings=(ROW,)))
    events, after, _ = due(outcome(pod(), mappings=(mapping(61045),)), None, before)

    assert unannounced(after, before, events) == before


def test_many_unannounced_pods_are_compared_in_one_pass_over_the_last_plan() -> None:
    rows = tuple(mapping(10000 + i, pod=ref(f"web-{i}"), pod_ip=f"10.244.{i >> 8}.{i & 255}") for i in range(10_000))
    pods = [pod(f"web-{i}", annotation=annotation.render([annotation.entry(row)])) for i, row in enumerate(rows)]
    found = outcome(*pods[:1000], mappings=rows[:1000])
    last = worlds.plan(*rows)

    events, *_ = due(found, last, {})

    assert len(events) == MOST
    assert_below(2, lambda: due(found, last, {}))  # it is 0.05 s; a look through all mappings for each Pod takes 5


def test_of_an_event_that_was_announced_no_annotation_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(pod(annotation=TOLD), mappings=(ROW,))
    output = said_of(found)
    parsed: list[object] = []
    monkeypatch.setattr(annotation, "parse", parsed.append)
    assert due(found, found.plan, output) == ((), output, ())
    assert parsed == []


def test_a_pod_of_another_node_gets_nothing() -> None:
    found = outcome(pod(), mappings=(ROW,))
    elsewhere = replace(found.cluster, pods=(*found.cluster.pods, pod("web-9", on="worker-2", annotation="forged")))
    events, *_ = due(replace(found, cluster=elsewhere), found.plan, {})
    assert {event.name for event in events} == {"web-0"}


def test_what_was_announced_before_is_remembered_while_something_newer_waits_for_its_turn() -> None:
    rows = [mapping(61000 + i, pod=ref(f"p-{i:03}")) for i in range(MOST + 1)]
    pods = [pod(row.pod.name) for row in rows]
    output = said_of(outcome(pods[-1], mappings=(rows[-1],)))
    moved = [*rows[:-1], rows[-1]._replace(node_port=61999)]

    events, after, _ = due(outcome(*pods, mappings=tuple(moved)), None, output)

    assert len(events) == MOST
    assert {topic: after[topic] for topic in output} == output


def tenants(**pods: int) -> Outcome:
    """A run that has mapped so many Pods of each namespace."""
    rows: list[PortMapping] = []
    found: list[Pod] = []
    for namespace, count in pods.items():
        for i in range(count):
            one = pod(f"{namespace}-{i:04}", [f"10.{len(rows) >> 8}.{len(rows) & 255}.1"], namespace=namespace)
            rows.append(mapping(20_000 + len(rows), pod=one.ref, pod_ip=one.ips[0]))
            found.append(one)
    return outcome(*found, mappings=tuple(rows))


def test_one_namespace_with_many_events_delays_no_other() -> None:
    events, _, waiting = due(tenants(attacker=1000, shop=3, web=2), None, {})
    counts = Counter(event.namespace for event in events)
    assert counts == {"attacker": MOST - 5, "shop": 3, "web": 2}
    assert len(waiting) == min(WAITING, 1005 - MOST)


def test_what_waits_longest_is_posted_first_though_new_events_come_in_every_run() -> None:
    found = tenants(**{f"tenant-{i:03}": 3 for i in range(2 * MOST)})
    events, output, waiting = due(found, None, {})
    assert len({event.namespace for event in events}) == MOST
    more = tenants(**{f"tenant-{i:03}": 3 + (i < MOST) for i in range(2 * MOST)})
    later, *_ = due(more, None, output, waiting)
    assert {event.namespace for event in later} & {event.namespace for event in events} == set()
    assert len(later) == MOST


def test_within_a_namespace_the_oldest_event_is_posted_first() -> None:
    old = tenants(shop=MOST + 10)
    _, output, waiting = due(old, None, {})
    newer = tenants(shop=2 * MOST)
    events, *_ = due(newer, None, output, waiting)
    assert [event.topic for event in events][:10] == list(waiting)


def test_the_age_of_a_thousand_events_is_kept() -> None:
    assert len(due(tenants(shop=WAITING + 2 * MOST), None, {}).waiting) == WAITING
