"""What a run withdraws before rules go, and the old ports whose rules stay until the new port is published."""

from dataclasses import replace

from inmemory import World
from readings import SETTINGS, decided, observed
from worlds import mapping, plan, pod, ref, service

from nplconf.model import Change, Plan
from nplconf.publish.annotation import entries, render
from nplconf.run.decide import trust
from nplconf.run.withdrawals import old_ports

OLD, NEW = mapping(61050), mapping(61044)
MOVE = Change("change", "number-changed", NEW, OLD)


def moved(target: Plan) -> Plan:
    """The plan with its mapping at the last port of the range."""
    return replace(target, mappings=(target.mappings[0]._replace(node_port=target.port_range.last),))


def test_the_rule_at_the_old_port_stays_until_the_new_port_is_published() -> None:
    assert old_ports([MOVE], [NEW]) == (OLD,)


def test_an_old_port_that_another_mapping_gets_in_the_same_run_cannot_stay() -> None:
    other = OLD._replace(pod=ref("web-9"), pod_ip="10.244.3.99")
    assert old_ports([MOVE], [NEW, other]) == ()


def test_an_old_port_that_leads_to_another_address_than_the_new_one_does_not_stay() -> None:
    assert old_ports([MOVE], [NEW._replace(pod_ip="10.244.3.99")]) == ()


def test_a_run_that_publishes_nothing_keeps_no_old_port() -> None:
    first = World(pod(), service()).apply().decision
    there, review = observed(*first.eligible), moved(first.plan)
    (old,) = decided(pod(), service(), on=there, plan=review).old_ports
    assert old.key == first.eligible[0].key
    assert trust(review, there, SETTINGS).old_ports == ()


def test_an_entry_whose_rule_goes_is_withdrawn_and_one_that_stays_is_not() -> None:
    live = (mapping(61044), mapping(61045, pod_port=9090))
    listed = replace(pod(), annotation=render(entries(live)))
    (patch,) = decided(listed, service(), on=observed(*live)).withdrawals
    assert patch.annotation == render(entries(live[:1]))


def test_nothing_is_withdrawn_where_no_annotation_changes() -> None:
    live = (mapping(61044),)
    listed = replace(pod(), annotation=render(entries(live)))
    assert decided(listed, service(), on=observed(*live)).withdrawals == ()


def test_a_plan_that_must_fit_exactly_and_does_not_withdraws_nothing() -> None:
    live = (mapping(61044), mapping(61045, pod_port=9090))
    listed = replace(pod(), annotation=render(entries(live)))
    decision = decided(listed, service(), on=observed(*live), plan=plan(*live), exact=True)
    assert decision.inexact
    assert (decision.withdrawals, decision.old_ports) == ((), ())
