"""The fast reader of plans agrees with the slow one, and leaves everything unusual to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import REASONS, any_plan, mapping, plan, plans, rows

from nplconf.model import Plan, PodRef, PortRange, Skipped
from nplconf.plan.document import dump
from nplconf.plan.reread import reread
from nplconf.plan.validate import load

WIDE = PortRange(1024, 65535)


@given(plans() | any_plan())
def test_the_fast_reader_reads_what_the_slow_reader_reads_or_nothing(written: Plan) -> None:
    text = dump(written)
    short = reread(text)
    assert short is None or (short, ()) == load(text, "plan.yaml")


@given(st.data())
def test_an_edited_text_is_read_the_same_by_both_readers_or_refused(data: st.DataObject) -> None:
    text = dump(plan(*rows(3), port_range=WIDE))
    at = data.draw(st.integers(0, len(text) - 1))
    for changed in (text[:at] + data.draw(st.sampled_from("0 9a:\n\"'-{}[],.é")) + text[at + 1 :], text[:at]):
        short = reread(changed)
        assert short is None or (short, ()) == load(changed, "plan.yaml")


def test_plans_of_nplconf_are_read_by_the_fast_reader() -> None:
    skipped = (
        Skipped(
            "shop/web-0", 9090, "sctp", "shop/web", "protocol-unsupported", "SCTP cannot be mapped, TCP and UDP can"
        ),
        Skipped(None, "http", "tcp", "shop/np", "service-type", "a Service of type NodePort is not served"),
        Skipped("shop/web-0", 80, "tcp", "shop/web", "policy", "no", "spec.namespaces.deny[0]"),
    )
    six = mapping(node_port=61045, family="IPv6", node_ip="fd12::10", pod_ip="fd12:0:0:1::4", pod_port=53)
    guarded = mapping(source_ranges=("10.0.0.0/8", "192.0.2.7/32"), pod=PodRef("shop", "n" * 253, "c2f1"))
    host = mapping(node_port=80, pod_port=80, via="hostPort", pod=PodRef("shop", "n" * 253, "c2f1"))
    for written in (plan(), plan(host, guarded, six, skipped=skipped), plan(*rows(300), port_range=WIDE, cluster=None)):
        assert reread(dump(written)) == written


@pytest.mark.parametrize("reason", REASONS)
def test_no_reason_of_a_skipped_row_needs_the_slow_reader(reason: str) -> None:
    written = plan(skipped=(Skipped("shop/web-0", 80, "tcp", "shop/web", reason, "so it is"),))
    assert reread(dump(written)) == written


RULES = ["spec.namespaces.deny[0]", "spec.namespaces.allow", "spec.pins[12]", "spec.caps.perPod", "spec.ranges[0]"]


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_of_a_policy_needs_the_slow_reader(rule: str) -> None:
    written = plan(skipped=(Skipped("shop/web-0", 80, "tcp", "shop/web", "policy", "so it is", rule),))
    assert reread(dump(written)) == written


@pytest.mark.parametrize(
    ("ours", "others"), [("name: web-0", 'name: "web-0"'), ("nodePort: 61044", "nodePort: 61044 "), ("# ", "\n# ")]
)
def test_equal_plans_in_other_bytes_are_left_to_the_slow_reader(ours: str, others: str) -> None:
    text = dump(plan(mapping())).replace(ours, others, 1)
    assert reread(text) is None
    assert load(text, "plan.yaml") == (plan(mapping()), ())


@pytest.mark.parametrize(
    "written",
    [
        plan(mapping(node_port=60000)),
        plan(mapping(), mapping()),
        plan(mapping(pod_ip="127.0.0.1")),
        plan(mapping(pod_port=65536)),
        plan(port_range=PortRange(62000, 61000)),
        plan(node="n" * 254),
        plan(mapping(pod=PodRef("shop", "n" * 254, "c2f1"))),
    ],
)
def test_a_plan_with_a_problem_is_left_to_the_slow_reader(written: Plan) -> None:
    assert reread(dump(written)) is None
    assert load(dump(written), "plan.yaml")[1]
