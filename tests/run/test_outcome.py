"""The result of a run, from its decision and the rules read afterwards."""

from dataclasses import replace

import pytest
from readings import decided, observed
from worlds import BOTH, mapping, pod, ref, service

from nplconf.model import ContainerPort, Failure, Patch, PortMapping
from nplconf.publish.annotation import entries, render
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import read
from nplconf.run import outcome
from nplconf.run.decision import Decision

DUAL = pod(ips=["10.244.3.17", "fd00:244::17"])
EMPTY = {"IPv4": read(""), "IPv6": read("")}


def both_families() -> tuple[Decision, list[PortMapping]]:
    found = decided(DUAL, service(families=BOTH))
    return found, list(found.eligible)


# --- in place --------------------------------------------------------------------------------------------------------


def test_of_a_family_that_cannot_be_read_the_annotation_stays_and_of_the_other_only_what_is_seen() -> None:
    _, rows = both_families()
    blind = observed(found={"IPv4": EMPTY["IPv4"]}, unreadable={"IPv6": "broken"})
    listed = replace(DUAL, annotation=render(entries(rows)))
    decision = decided(listed, service(families=BOTH), on=blind)
    assert [m.family for m in outcome.in_place(decision, ())] == ["IPv6"]
    assert outcome.in_place(decided(DUAL, service(families=BOTH), on=blind), ()) == ()


def test_a_host_port_is_in_place_without_a_rule() -> None:
    found = decided(pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert outcome.in_place(found, ()) == found.eligible


# --- exit code -------------------------------------------------------------------------------------------------------


def test_a_run_in_which_an_annotation_was_withdrawn_did_something() -> None:
    decision = decided(pod(), service())
    failed = outcome.Result(decision, failures=(Failure("hold", "tcp/61044", "not held"),))
    assert failed.exit_code == 69
    withdrawn = replace(failed, patches=(Patch(ref(), None),))
    assert withdrawn.exit_code == 5
    refused = replace(withdrawn, failures=(*failed.failures, Failure("publish", ref().key, "no")))
    assert refused.exit_code == 69


# --- annotations after a run -----------------------------------------------------------------------------------------


def test_a_pod_whose_patch_failed_keeps_its_annotation() -> None:
    one, two = pod("a", annotation="old"), pod("b", annotation="old")
    written = [Patch(one.ref, "new"), Patch(two.ref, None)]
    assert outcome.annotations_after([one, two], written, []) == {one.ref: "new", two.ref: None}
    failed = [Failure("publish", two.ref.key, "no")]
    assert outcome.annotations_after([one, two, pod("c")], written, failed) == {
        one.ref: "new",
        two.ref: "old",
        ref("c"): None,
    }


def test_what_a_pod_must_not_publish_is_not_left_open() -> None:
    rows = [mapping(61001), mapping(61002, pod_port=9), mapping(61003, pod=ref("other"))]
    rows.append(mapping(4001, pod_port=1, via="hostPort"))
    pods = [pod(annotation=render(entries(rows[:1]))), pod("other")]
    refused = [Failure("publish", "shop/web-0", "denied", refused=True), Failure("publish", "shop/other", "busy")]
    assert outcome.unpublished(rows, refused, pods) == {rows[1]}
    assert outcome.unpublished(rows, refused[1:], pods) == frozenset()


# --- absent ----------------------------------------------------------------------------------------------------------


def test_a_mapping_that_was_not_seen_is_a_failure_by_name_once() -> None:
    decision, rows = both_families()
    four, six = rows
    (failure,) = outcome.absent(decision, [four], [], observed())
    assert (failure.step, failure.message) == ("rule", "the rule was not seen in place")
    assert failure.subject == f"tcp6/{six.node_port} shop/web-0:8080"
    assert outcome.absent(decision, [four], [failure], observed()) == []
    assert outcome.absent(decision, rows, [], observed()) == []


def test_a_family_that_cannot_be_read_fails_its_mappings_with_the_reason() -> None:
    decision, rows = both_families()
    (failure,) = outcome.absent(decision, rows, [], observed(unreadable={"IPv6": "no ip6tables"}))
    assert failure.message == "no ip6tables"


def test_a_host_port_is_never_absent() -> None:
    found = decided(pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert outcome.absent(found, (), [], observed(unreadable={"IPv4": "broken"})) == []


# --- done ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [("IPv4",), ("IPv6",), ()])
def test_what_is_done_is_what_the_kernel_shows_of_the_families_that_were_written(written: tuple[str, ...]) -> None:
    decision, rows = both_families()
    seen = observed(*rows).found
    found = outcome.done(decision, seen, written, tree)  # type: ignore[arg-type]
    assert tuple(change.mapping.family for change in found) == written
    assert outcome.done(decision, EMPTY, written, tree) == ()  # type: ignore[arg-type]


def test_a_delete_is_done_when_the_rule_is_gone_and_a_change_when_it_leads_elsewhere() -> None:
    gone, moved = mapping(61001, pod=ref("gone")), mapping(61002, pod_ip="10.244.9.9")
    decision = decided(pod(), service(), on=observed(gone, moved))
    assert [c.action for c in decision.diff.changes] == ["delete", "change"]
    before, after = observed(gone, moved).found, observed(moved._replace(pod_ip="10.244.3.17")).found
    assert outcome.done(decision, before, ["IPv4"], tree) == ()
    assert outcome.done(decision, after, ["IPv6"], tree) == ()
    assert outcome.done(decision, after, ["IPv4"], tree) == decision.diff.changes
