"""explain: each answer gives the state, the reason, and the fix, in fifteen lines at most."""

from dataclasses import replace

import nodes
import pytest
import worlds
from answers import LIVE, NUMBER, TOLD, asked, facts

from nplconf.explain import Explanation, NodePort, PodName, ServiceName, What, parse
from nplconf.model import ClusterState, Holds, Pod, PodPort, Taken
from nplconf.plan.cooling import Cooling
from nplconf.plan.policy import Pin, Policy, Reserved
from nplconf.run.decision import Bounds


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("shop/web-0", PodName("shop/web-0")),
        ("svc/shop/web", ServiceName("shop/web")),
        ("udp/53", NodePort("udp", 53)),
        ("tcp/65535", NodePort("tcp", 65535)),
        ("pod/svc/web-0", PodName("svc/web-0")),
        ("service/shop/web", ServiceName("shop/web")),
        ("services/shop/web", ServiceName("shop/web")),
        ("SVC/shop/web", ServiceName("shop/web")),
        ("pod/shop/web-0", PodName("shop/web-0")),
        ("pods/shop/web-0", PodName("shop/web-0")),
        ("Pod/shop/web-0", PodName("shop/web-0")),
        ("TCP/61044", NodePort("tcp", 61044)),
        ("Udp/53", NodePort("udp", 53)),
    ],
)
def test_names_are_read_as_what_they_name(text: str, what: What) -> None:
    found = parse(text)
    assert (type(found), found) == (type(what), what)


def test_an_invalid_port_is_named_as_invalid() -> None:
    with pytest.raises(ValueError, match="'65536' is no port number"):
        parse("tcp/65536")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web-0",
        "a/b/c",
        "Shop/web",
        "shop/web_0",
        "svc/shop/",
        "tcp/x",
        "tcp/061044",
        "tcp/65536",
        "tcp/80x",
        "a/b\n",
        "pod/web-0",
        "pod/Shop/web-0",
        "pod/shop/Web-0",
        "svc/Shop/web",
        "svc/web",
        "service/web",
        "Shop/Web",
        "sctp/80x",
    ],
)
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a Pod|no port number"):
        parse(text)


def test_a_misspelled_kind_leads_to_the_closest_one() -> None:
    with pytest.raises(ValueError, match="did you mean service"):
        parse("serivce/shop/web")


def test_a_mapped_pod_shows_its_number_and_that_all_is_in_place() -> None:
    lines = asked("shop/web-0", facts(worlds.pod(annotation=TOLD), worlds.service()))
    assert lines[0] == "Pod shop/web-0 on worker-1 is mapped"
    assert "tcp/61044 -> shop/web-0:8080 at 10.244.3.17 for shop/web" in lines[1]
    assert "in place" in lines[1]
    assert not any("Fix" in line for line in lines)


def test_a_missing_rule_is_named_with_the_command_that_fixes_it() -> None:
    lines = asked("shop/web-0", facts(worlds.pod(annotation=TOLD), worlds.service(), at=nodes.observed()))
    assert "rule missing" in lines[1]
    assert lines[-1] == "  Fix: nplconf apply"


def test_a_missing_annotation_is_named_with_the_command_that_fixes_it() -> None:
    lines = asked("svc/shop/web", facts(worlds.pod(), worlds.service()))
    assert "annotation missing" in lines[1]
    assert lines[-1] == "  Fix: nplconf apply"


def test_the_answer_for_a_pod_whose_service_does_not_ask_names_the_missing_annotation() -> None:
    lines = asked("shop/web-0", facts(worlds.pod(), worlds.service(enabled=False)))
    assert 'not mapped: Service shop/web has no annotation nodeportlocal.antrea.io/enabled: "true"' in lines[0]
    assert "kubectl annotate service -n shop web nodeportlocal.antrea.io/enabled=true --overwrite" in "".join(lines)


def test_the_answer_for_a_pod_without_a_service_says_that() -> None:
    assert "no Service selects it" in asked("shop/web-0", facts(worlds.pod()))[0]


def test_a_port_that_cannot_be_mapped_names_the_reason() -> None:
    lines = asked("shop/web-0", facts(worlds.pod(), worlds.service(ports=[(9, "SCTP")]), at=nodes.observed()))
    assert lines[0] == "Pod shop/web-0 on worker-1 is not mapped"
    assert "protocol-unsupported" in lines[1]


def test_the_answer_names_the_other_node_of_a_pod() -> None:
    state = ClusterState((worlds.node(),), (), (), None, {"shop/web-0": "worker-2"})
    lines = asked("shop/web-0", facts(state=state, at=nodes.observed()))
    assert "no such Pod" in lines[0]
    assert "it runs on worker-2" in lines[1]


def test_a_rule_of_a_pod_that_is_gone_is_found_by_its_name_and_number() -> None:
    known = facts()
    for lines in (asked("shop/web-0", known), asked(f"tcp/{NUMBER}", known)):
        assert any("rule exists but the Pod is gone" in line and "pod-gone" in line for line in lines)
        assert lines[-1] == "  Fix: nplconf apply"


def test_the_answer_says_what_does_not_exist() -> None:
    assert "no such Pod" in asked("shop/nobody", facts())[0]
    assert "no such Service" in asked("svc/shop/nothing", facts())[0]


def test_a_free_number_is_free() -> None:
    assert asked("tcp/61000", facts()) == ["tcp/61000 is free"]


def test_the_answer_says_that_a_port_is_outside_the_range() -> None:
    assert "outside --port-range 61000-62000" in asked("tcp/80", facts())[0]


def test_the_other_protocol_of_a_mapped_number_is_not_free() -> None:
    lines = asked(f"udp/{NUMBER}", facts(worlds.pod(annotation=TOLD), worlds.service()))
    assert lines[0] == "udp/61044 is not mapped: its number is for shop/web-0:8080"


def test_a_number_that_a_process_has_names_the_process() -> None:
    lines = asked("tcp/61007", facts(at=nodes.observed(taken=[Taken(61007, "tcp", "nginx[812]")])))
    assert "taken: nginx[812]" in lines[0]
    assert "ss -antup" in lines[-1]


def test_a_cooling_number_names_its_last_owner_and_the_time_left() -> None:
    cool = Cooling(61007, PodPort("shop/old", 80), nodes.NOW - 600)
    lines = asked("tcp/61007", facts(at=nodes.observed(cooling=[cool])))
    assert "free for its last owner only" in lines[0]
    assert "61007 cools down for shop/old:80, 1200 s more" in lines[1]


def test_the_port_of_a_service_or_host_port_is_taken() -> None:
    other = worlds.service("lb", node_port=61010, enabled=False, selector={"app": "lb"})
    assert "it is a nodePort of Service shop/lb" in asked("tcp/61010", facts(other))[1]


def test_without_a_daemon_the_hold_is_missing() -> None:
    at = nodes.observed(LIVE, holds=Holds(available=False, message="there is none"))
    lines = asked("shop/web-0", facts(worlds.pod(annotation=TOLD), worlds.service(), at=at))
    assert "hold missing" in lines[1]
    assert "systemctl start nplconf-hold.service" in lines[-1]


def test_a_limit_that_stops_apply_is_named_with_the_option_that_lifts_it() -> None:
    live = [worlds.mapping(61100 + i, pod=worlds.ref(f"web-{i}"), pod_ip=f"10.244.3.{i + 1}") for i in range(12)]
    lines = asked("shop/web-3", facts(at=nodes.observed(*live)))
    assert "blocked: " in lines[1]
    assert lines[-1] == "  Fix: nplconf apply --allow-empty"


# --- what was reviewed -----------------------------------------------------------------------------------------------


def test_a_rule_of_the_policy_is_named_with_what_would_have_to_change() -> None:
    known = facts(worlds.pod(), worlds.service(), at=nodes.observed(), bounds=Bounds(policy=Policy(deny=("shop",))))
    for lines in (asked("shop/web-0", known), asked("svc/shop/web", known)):
        assert "policy" in lines[1]
        assert "[spec.namespaces.deny[0]]" in lines[1]
        assert lines[-1] == "  Fix: change spec.namespaces.deny[0] in policy.yaml, and have it reviewed"


PINS = Policy(pins=(Pin("pod", "shop/web-0", 8080, NUMBER, 0), Pin("service", "shop/web", 80, 61081, 1)))


def test_a_pin_is_named_for_its_subject_and_its_number_also_while_that_is_absent() -> None:
    known = facts(bounds=Bounds(policy=PINS), at=nodes.observed())
    assert "the policy pins its port 8080 to node port 61044 [spec.pins[0]]" in asked("shop/web-0", known)[1]
    lines = asked("tcp/61044", known)
    assert lines[0] == "tcp/61044 is not mapped, and not free for everybody"
    assert "the policy pins it to pod shop/web-0, port 8080 [spec.pins[0]]" in lines[1]
    known = facts(worlds.pod(), worlds.service(), bounds=Bounds(policy=PINS))
    assert any("[spec.pins[1]]" in line for line in asked("svc/shop/web", known))


def test_a_number_of_a_namespaces_range_is_not_free_for_everybody() -> None:
    bounds = Bounds(policy=Policy(ranges=(Reserved("bank", worlds.PortRange(61900, 61999), 0),)))
    assert "free for namespace bank [spec.ranges[0]]" in asked("tcp/61950", facts(bounds=bounds))[1]


def test_what_waits_for_a_review_is_named_with_how_it_comes_to_one() -> None:
    known = facts(worlds.pod(), worlds.service(), at=nodes.observed(), bounds=Bounds(worlds.plan()))
    assert "pending" in asked("shop/web-0", known)[1]
    assert "pending" in asked("svc/shop/web", known)[1]
    assert "nplconf render --node worker-1" in asked("shop/web-0", known)[-1]


def test_a_stale_row_is_named_for_its_pod_and_its_number() -> None:
    known = facts(at=nodes.observed(), bounds=Bounds(worlds.plan(LIVE)))
    assert "stale in the reviewed plan: pod-gone" in asked("shop/web-0", known)[1]
    assert asked(f"tcp/{NUMBER}", known)[0] == "tcp/61044 is not mapped"
    known = facts(worlds.service(), at=nodes.observed(LIVE), bounds=Bounds(worlds.plan(LIVE)))
    for what in ("shop/web-0", "svc/shop/web", f"tcp/{NUMBER}"):
        lines = asked(what, known)
        assert any("stale in the reviewed plan: pod-gone" in line for line in lines), lines
        assert "nplconf render --node worker-1" in lines[-1]


def test_many_reasons_are_cut_with_their_count_and_the_command_stays() -> None:
    found = Explanation("no", tuple(f"reason {i}" for i in range(40)), ("nplconf apply",))
    lines = found.lines()
    assert len(lines) == 15
    assert lines[-2:] == ["  and 28 more", "  Fix: nplconf apply"]


def test_text_that_just_fits_is_not_cut_and_only_three_commands_are_shown() -> None:
    found = Explanation("no", tuple(f"reason {i}" for i in range(11)), tuple(f"do {i}" for i in range(4)))
    assert found.lines()[11:] == ["  reason 10", "  Fix: do 0", "  Fix: do 1", "  Fix: do 2"]


def test_an_answer_about_one_pod_says_nothing_of_another() -> None:
    other = worlds.pod("web-9", ["10.244.3.99"], ports=())
    broken = worlds.pod("web-8", ["127.0.0.1"])
    known = facts(other, broken, worlds.pod(annotation=TOLD), worlds.service())
    alone = facts(worlds.pod(annotation=TOLD), worlds.service())
    assert asked("shop/web-0", known) == asked("shop/web-0", alone)
    assert "web-0" not in " ".join(asked("shop/web-9", known))
    assert asked("shop/web-8", known)[0] == "Pod shop/web-8 on worker-1 is not mapped"


def test_a_pod_of_which_one_mapping_is_lost_is_not_mapped_as_it_must_be() -> None:
    two = worlds.service(ports=[(8080, "TCP"), (9090, "TCP")])
    assert asked("shop/web-0", facts(worlds.pod(annotation=TOLD), two))[0] == (
        "Pod shop/web-0 on worker-1 is not fully mapped"
    )


@pytest.mark.parametrize(
    ("pods", "elsewhere", "output"),
    [
        ((worlds.pod(phase="Failed"),), {}, "a Pod of that name has ended; its object still exists"),
        ((), {"shop/web-0": ""}, "it has no node yet"),
        ((worlds.pod("web-1", phase="Failed"), worlds.pod(on="worker-2", phase="Failed")), {}, None),
    ],
)
def test_a_pod_that_does_not_run_here_says_what_became_of_it(
    pods: tuple[Pod, ...], elsewhere: dict[str, str], output: str | None
) -> None:
    state = replace(worlds.cluster(worlds.node(), *pods), elsewhere=elsewhere)
    lines = asked("shop/web-0", facts(state=state, at=nodes.observed()))
    assert lines[0].startswith("no such Pod runs on worker-1")
    found = [line.strip() for line in lines if "ended" in line or "no node" in line]
    assert found == ([output] if output else [])
