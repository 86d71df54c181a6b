"""Complete answers of explain, word for word."""

from dataclasses import replace

import nodes
import pytest
import worlds
from answers import LIVE, NUMBER, TOLD, asked, facts
from worlds import pod, service

from nplconf.model import Condition, ContainerPort, Holds, PodPort, Taken
from nplconf.plan.cooling import Cooling
from nplconf.plan.policy import Pin, Policy, Reserved
from nplconf.publish import annotation
from nplconf.rules.foreign import ForeignRule
from nplconf.run.decision import Bounds

SIX = worlds.mapping(NUMBER, family="IPv6")
MAPPED = pod(annotation=TOLD)
SECOND = pod("web-1", ["10.244.3.18"])
IN_PLACE = "  tcp/61044 -> shop/web-0:8080 at 10.244.3.17 for shop/web: rule, hold and annotation are in place"
NO_ANNOTATION = 'has no annotation nodeportlocal.antrea.io/enabled: "true"'
STRAY = "rule exists but nothing asks for it; apply removes it (owner-unknown)"
UNSELECTED = "rule and annotation exist but no Service asks for it; apply removes it (not-selected)"
APPLY = "  Fix: nplconf apply"
REVIEW = "  Fix: nplconf render --node worker-1 --out worker-1.yaml, and have it reviewed"
NO_DAEMON = Holds(available=False, message="there is none")


# --- a Pod -----------------------------------------------------------------------------------------------------------


def test_both_families_and_all_services_of_a_mapping_are_named() -> None:
    both = pod(
        ips=["10.244.3.17", "fd00:244::17"],
        annotation=annotation.render([annotation.entry(LIVE), annotation.entry(SIX)]),
    )
    objects = both, service(families=worlds.BOTH), service("api")
    assert asked("shop/web-0", facts(*objects, at=nodes.observed(LIVE, SIX))) == [
        "Pod shop/web-0 on worker-1 is mapped",
        IN_PLACE.replace("shop/web:", "shop/api, shop/web:"),
        "  tcp6/61044 -> shop/web-0:8080 at [fd00:244::17] for shop/web: rule, hold and annotation are in place",
    ]


def test_a_host_port_is_advertised_and_needs_neither_rule_nor_hold() -> None:
    reported = annotation.render([annotation.entry(worlds.mapping(4001, via="hostPort"))])
    known = facts(pod(ports=[ContainerPort(8080, host_port=4001)], annotation=reported), service(), at=nodes.observed())
    line = "  tcp/4001 -> shop/web-0:8080 at 10.244.3.17 for shop/web: its own hostPort, advertised"
    assert asked("shop/web-0", known) == ["Pod shop/web-0 on worker-1 is mapped", line]


def test_everything_missing_is_named_with_its_obstacle() -> None:
    assert asked("shop/web-0", facts(pod(), service(), at=nodes.observed(holds=NO_DAEMON))) == [
        "Pod shop/web-0 on worker-1 is not fully mapped",
        (
            "  tcp/61512 -> shop/web-0:8080 at 10.244.3.17 for shop/web: rule missing, hold missing, annotation missing"
            "; port 61512 gets no new mapping: there is none"
        ),
        "  Fix: systemctl start nplconf-hold.service",
        APPLY,
    ]


def test_a_process_that_took_the_number_of_a_rule_is_looked_up_before_anything_is_fixed() -> None:
    lines = asked("shop/web-0", facts(at=nodes.observed(LIVE, taken=[Taken(NUMBER, "udp", "x[1]")])))
    assert "rule exists but the Pod is gone, hold missing; apply removes it (pod-gone)" in lines[1]
    assert lines[2:] == ["  Fix: ss -antup 'sport = :61044'", APPLY]


def test_of_two_ports_the_one_that_is_missing_is_the_one_that_apply_will_add() -> None:
    two = service(ports=[(8080, "TCP"), (9090, "TCP")])
    assert asked("shop/web-0", facts(MAPPED, two)) == [
        "Pod shop/web-0 on worker-1 is not fully mapped",
        IN_PLACE,
        (
            "  tcp/61756 -> shop/web-0:9090 at 10.244.3.17 for shop/web: rule missing, annotation missing"
            "; apply adds it (new)"
        ),
        APPLY,
    ]


def test_an_annotation_that_is_left_is_taken_away_from_a_pod_that_is_not_mapped() -> None:
    assert asked("shop/web-0", facts(MAPPED, at=nodes.observed())) == [
        "Pod shop/web-0 is not mapped: no Service selects it",
        "  tcp/61044 -> shop/web-0:8080: annotation exists but nothing asks for it",
        APPLY,
    ]


def test_only_services_of_its_namespace_whose_whole_selector_fits_could_ask_for_a_pod() -> None:
    near = [
        service("elsewhere", namespace="bank", enabled=False),
        service("loose", selector={}, enabled=False),
        service("strict", selector={"app": "web", "tier": "front"}, enabled=False),
    ]
    assert asked("shop/web-0", facts(pod(), *near, at=nodes.observed())) == [
        "Pod shop/web-0 is not mapped: no Service selects it"
    ]
    idle = [service("idle", ports=()), service("api", enabled=False)]
    assert asked("shop/web-0", facts(pod(), *idle, at=nodes.observed())) == [
        "Pod shop/web-0 is not mapped: the Services that select it have no port that could be mapped"
    ]
    silent = [service("api", enabled=False), service("web", enabled=False)]
    lines = asked("shop/web-0", facts(pod(), *silent, at=nodes.observed()))
    assert (
        lines[0] == f"Pod shop/web-0 is not mapped: Service shop/api {NO_ANNOTATION}; Service shop/web {NO_ANNOTATION}"
    )
    assert len(lines) == 3


def test_a_pod_is_asked_about_by_its_own_labels() -> None:
    other = pod("x", ["10.244.3.8"], labels={"app": "db"})
    assert asked("shop/x", facts(MAPPED, other, service())) == ["Pod shop/x is not mapped: no Service selects it"]


def test_the_number_of_a_pod_that_is_gone_cools_down_for_it() -> None:
    cools = [
        Cooling(61007, PodPort("shop/old", 80), nodes.NOW - 1799.9),
        Cooling(61008, PodPort("shop/new", 80), nodes.NOW),
    ]
    known = facts(at=nodes.observed(cooling=cools))
    assert asked("shop/old", known) == [
        "no such Pod runs on worker-1: shop/old",
        "  61007 cools down for shop/old:80, 1 s more",
    ]
    assert asked("tcp/61008", known) == [
        "tcp/61008 is free for its last owner only",
        "  61008 cools down for shop/new:80, 1800 s more",
    ]


# --- a Service -------------------------------------------------------------------------------------------------------


def test_the_answer_for_a_service_covers_its_own_pods_only() -> None:
    known = facts(MAPPED, SECOND, service("np", [("http", "TCP")], type="NodePort", selector={"app": "np"}), service())
    assert asked("svc/shop/web", known) == [
        "Service shop/web has 2 mapped Pod ports on worker-1",
        IN_PLACE,
        (
            "  tcp/61125 -> shop/web-1:8080 at 10.244.3.18 for shop/web: rule missing, annotation missing"
            "; apply adds it (new)"
        ),
        APPLY,
    ]
    assert asked("svc/shop/np", known) == [
        "Service shop/np has 0 mapped Pod ports on worker-1",
        (
            "  port http/tcp of shop/np is skipped: service-type: a Service of type NodePort is not served,"
            " ClusterIP and LoadBalancer are"
        ),
        "  no such Pod runs on worker-1: none has its labels",
    ]


def test_a_service_that_is_mapped_says_only_that() -> None:
    known = facts(MAPPED, service())
    assert asked("svc/shop/web", known) == ["Service shop/web has 1 mapped Pod port on worker-1", IN_PLACE]


def test_a_skipped_port_of_a_service_is_named_with_its_pod() -> None:
    known = facts(pod(), service(ports=[(9, "SCTP")]), at=nodes.observed())
    assert asked("svc/shop/web", known)[1].startswith("  shop/web-0:9/sctp of shop/web is skipped: protocol-unsupp")


def test_a_service_without_a_pod_says_why() -> None:
    strangers = [pod(namespace="bank"), pod("db", ["10.244.3.8"], labels={"app": "db"})]
    known = facts(*strangers, service("loose", selector={}), service(), at=nodes.observed())
    assert asked("svc/shop/loose", known)[1:] == ["  it has no selector, so no Pod is its own"]
    assert asked("svc/shop/web", known)[1:] == ["  no such Pod runs on worker-1: none has its labels"]


@pytest.mark.parametrize(
    ("objects", "answer"),
    [
        ([MAPPED, service(enabled=False)], f"Service shop/web is not mapped: it {NO_ANNOTATION}"),
        ([MAPPED], "no such Service: shop/web"),
        ([MAPPED, service(selector={"app": "other"})], "Service shop/web has 0 mapped Pod ports on worker-1"),
    ],
)
def test_what_is_left_of_a_service_is_shown_though_it_asks_no_more(objects: list[worlds.Pod], answer: str) -> None:
    lines = asked("svc/shop/web", facts(*objects, at=nodes.observed(LIVE, remembered=worlds.plan(LIVE))))
    assert lines[0] == answer
    assert any(UNSELECTED in line for line in lines)
    assert lines[-1] == APPLY
    assert ("kubectl annotate" in lines[-2]) == (NO_ANNOTATION in answer)


# --- a number --------------------------------------------------------------------------------------------------------


def test_a_number_that_passes_from_one_pod_to_another_is_explained_for_both() -> None:
    policy = Policy(pins=(Pin("pod", "shop/web-1", 8080, NUMBER, 0), Pin("pod", "shop/web-2", 8080, 61081, 1)))
    known = facts(SECOND, service(), bounds=Bounds(policy=policy))
    rows = [
        "  tcp/61044 -> shop/web-0:8080 at 10.244.3.17: rule exists but the Pod is gone; apply removes it (pod-gone)",
        (
            "  tcp/61044 -> shop/web-1:8080 at 10.244.3.18 for shop/web: rule wrong, annotation missing"
            "; apply adds it (new)"
        ),
    ]
    owners = "shop/web-0:8080, shop/web-1:8080"
    assert asked("tcp/61044", known) == [f"tcp/61044 is for {owners}", *rows, APPLY]
    assert asked("udp/61044", known) == [
        f"udp/61044 is not mapped: its number is for {owners}",
        "  one number is for one Pod port, whatever the protocol",
        *rows,
        APPLY,
    ]
    assert asked("shop/web-1", known)[1:] == [
        rows[1],
        "  the policy pins its port 8080 to node port 61044 [spec.pins[0]]",
        APPLY,
    ]


def test_a_rule_without_owner_is_explained_as_that() -> None:
    nameless = LIVE._replace(pod=worlds.ref("", "", ""), pod_ip="10.244.3.9")
    assert asked("tcp/61044", facts(at=nodes.observed(nameless))) == [
        "tcp/61044 is for an unknown owner",
        f"  tcp/61044 -> an unknown owner at 10.244.3.9: {STRAY}",
        APPLY,
    ]


@pytest.mark.parametrize(
    ("taken", "who"),
    [
        ([("tcp", ""), ("udp", "y[2]")], "y[2] has it (tcp and udp)"),
        ([("udp", "")], "an unknown process has it (udp)"),
    ],
)
def test_a_taken_port_names_the_process_from_proc(taken: list[tuple[worlds.Protocol, str]], who: str) -> None:
    seen = [Taken(61006, "tcp", "x[1]"), *(Taken(61007, protocol, by) for protocol, by in taken)]
    lines = asked("tcp/61007", facts(at=nodes.observed(taken=seen)))
    assert lines == [f"tcp/61007 is taken: {who}", "  Fix: ss -antup 'sport = :61007'"]


def test_the_service_that_claims_the_number_of_a_mapping_is_named() -> None:
    thief = service("thief", namespace="attacker", enabled=False, port=NUMBER, external_ips=["10.10.10.10"])
    lines = asked(f"tcp/{NUMBER}", facts(MAPPED, service(), thief, at=nodes.observed(LIVE)))
    assert "  it is a port at the external IP 10.10.10.10 of Service attacker/thief" in lines


BANK = Policy(pins=(Pin("pod", "a/b", 80, 61500, 0),), ranges=(Reserved("bank", worlds.PortRange(61900, 61999), 0),))
KEPT = "  the policy keeps 61900-61999 free for namespace bank [spec.ranges[0]]"


def test_a_reserved_port_is_reported_whatever_its_present_owner() -> None:
    cool = Cooling(61907, PodPort("bank/old", 80), nodes.NOW)
    owner = pod("b", ports=[ContainerPort(1, host_port=61909)], labels={})
    known = facts(owner, at=nodes.observed(cooling=[cool], holds=NO_DAEMON), bounds=Bounds(policy=BANK))
    assert asked("tcp/61909", known) == [
        "tcp/61909 is not mapped: another program or Service uses the port",
        "  it is a hostPort of Pod shop/b",
        KEPT,
    ]
    assert asked("tcp/61907", known) == [
        "tcp/61907 is free for its last owner only",
        "  61907 cools down for bank/old:80, 1800 s more",
        KEPT,
    ]
    assert asked("tcp/61908", known) == [
        "tcp/61908 is not mapped, and not free for everybody",
        KEPT,
        "  the hold is missing: there is none",
        "  Fix: systemctl start nplconf-hold.service",
    ]
    assert asked("tcp/61000", facts(bounds=Bounds(policy=BANK))) == ["tcp/61000 is free"]


# --- what was reviewed -----------------------------------------------------------------------------------------------


def test_what_waits_for_a_review_is_reported_of_those_it_concerns() -> None:
    known = facts(MAPPED, SECOND, service(), service("loose", selector={}), bounds=Bounds(worlds.plan(LIVE)))
    assert asked("shop/web-0", known) == ["Pod shop/web-0 on worker-1 is mapped", IN_PLACE]
    assert asked("shop/web-1", known) == [
        "Pod shop/web-1 on worker-1 is not mapped",
        "  port 8080/tcp is pending until the next review: not-reviewed",
        REVIEW,
    ]
    assert asked("svc/shop/web", known) == [
        "Service shop/web has 1 mapped Pod port on worker-1",
        IN_PLACE,
        "  shop/web-1:8080/tcp is pending: not-reviewed",
        REVIEW,
    ]
    assert not any("pending" in line for line in asked("svc/shop/loose", known))


def test_what_is_stale_is_reported_of_those_it_concerns() -> None:
    other = worlds.mapping(61045, pod=SECOND.ref, pod_ip="10.244.3.18", services=["shop/api"])
    known = facts(service(), service("api"), at=nodes.observed(), bounds=Bounds(worlds.plan(LIVE, other)))
    stale = "  tcp/61044 for shop/web-0:8080 is stale in the reviewed plan: pod-gone"
    for what in ("shop/web-0", "svc/shop/web", "tcp/61044"):
        assert [line for line in asked(what, known) if "stale" in line] == [stale]
        assert asked(what, known)[-1] == REVIEW


@pytest.mark.parametrize(("value", "named"), [('"True"', '"True"'), ('"yes"', '"yes"'), ("true", "true"), ('""', '""')])
def test_a_value_of_the_annotation_that_is_not_exactly_true_is_shown(value: str, named: str) -> None:
    wrong = replace(service(enabled=False), enabled_value=value)
    output = f'has the annotation nodeportlocal.antrea.io/enabled: {named}, which is not exactly "true"'
    assert asked("svc/shop/web", facts(wrong))[0] == f"Service shop/web is not mapped: it {output}"
    assert asked("shop/web-0", facts(pod(), wrong))[0] == f"Pod shop/web-0 is not mapped: Service shop/web {output}"
    assert "kubectl annotate service -n shop web" in asked("svc/shop/web", facts(wrong))[1]


def test_the_answer_says_that_a_deleted_pod_is_terminating() -> None:
    lines = asked("shop/web-0", facts(replace(pod(), terminating=True), service()))
    assert lines[1] == "  it is Terminating: it was deleted, and its containers have not ended yet"


@pytest.mark.parametrize(
    ("condition", "output"),
    [
        (None, "no run has written it yet"),
        (Condition("False", "RangeFull", "no number is free"), "RangeFull: no number is free"),
    ],
)
def test_an_unmet_readiness_gate_is_explained_with_its_reason(condition: Condition | None, output: str) -> None:
    gated = replace(MAPPED, gated=True, condition=condition)
    (_, first, *_) = asked("shop/web-0", facts(gated, service()))
    assert first == f"  its readiness gate nplconf.io/published is not met: {output}"
    met = replace(gated, condition=Condition("True", "Published", "every mapping is in place"))
    assert asked("shop/web-0", facts(met, service()))[1:] == [IN_PLACE]
    assert asked("shop/web-0", facts(replace(gated, gated=False), service()))[1:] == [IN_PLACE]


@pytest.mark.parametrize("what", ["shop/web-0", "svc/shop/web", "tcp/61044"])
def test_a_foreign_rule_that_takes_the_packets_is_named_and_apply_is_no_fix(what: str) -> None:
    rule = ForeignRule("IPv4", "tcp", NUMBER, NUMBER, "iptables-nft PREROUTING", "-p tcp --dport 61044 -j DNAT")
    known = facts(MAPPED, service(), at=replace(nodes.observed(LIVE), foreign=(rule,)))
    lines = asked(what, known)
    assert any("a foreign rule takes the packets first (iptables-nft PREROUTING: -p tcp" in line for line in lines)
    assert APPLY not in lines
