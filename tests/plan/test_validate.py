"""All problems of a plan are reported at once, and no faulty plan means "delete everything"."""

import functools
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cputime import assert_below
from hypothesis import given
from hypothesis import strategies as st
from plans import mapping, plan, plans, rows

from nplconf.model import Plan, PodRef, PortMapping, PortRange
from nplconf.plan.document import dump, to_data
from nplconf.plan.validate import load, validate

GOLDEN = Path(__file__).parent / "golden"
WEB1 = PodRef("shop", "web-1", "c2f1")


def reported(text: str) -> list[tuple[str, str]]:
    return [(problem.path, problem.rule) for problem in validate(text, "plan.yaml")]


def of_rows(*mappings: PortMapping, **facts: object) -> list[tuple[str, str]]:
    return reported(dump(plan(*mappings, **facts)))


def edited(edit: Callable[[dict[str, Any]], object]) -> str:
    """A valid plan with two rows, of which something was changed."""
    data = to_data(plan(mapping(), mapping(node_port=61045, pod_port=8081)))
    edit(data)
    return yaml.safe_dump(data, sort_keys=False)


def test_every_problem_is_reported_at_once_with_its_file_line_path_and_rule() -> None:
    problems = validate((GOLDEN / "broken.yaml").read_text(), "broken.yaml")
    output = "".join(f"{one.file}:{one.line}: {one.path} [{one.rule}] {one.message}\n" for one in problems)
    assert output == (GOLDEN / "broken.txt").read_text()


def test_the_line_of_a_problem_is_the_line_of_its_key() -> None:
    text = dump(plan(mapping(), mapping(node_port=61045, pod_port=8081))).replace("61045", "99999")
    (problem,) = validate(text, "plan.yaml")
    assert text.splitlines()[problem.line - 1] == "    - nodePort: 99999"


# --- nothing but an explicit empty list empties a node ---------------------------------------------------------------


NO_LISTS: tuple[object, ...] = (None, {}, "", 0, False, "[]")
NO_SPECS: tuple[object, ...] = (None, {}, [], "")


def _with_mappings(value: object, data: Any) -> None:
    data["spec"].update(mappings=value)


def _with_spec(value: object, data: Any) -> None:
    data.update(spec=value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "\n",
            "# nothing\n",
            "---\n",
            "null",
            "~",
            "{}",
            "[]",
            "0",
            "false",
            "mappings: []",
            "spec: {mappings: []}",
        ),
        edited(lambda data: data["spec"].pop("mappings")),
        *(edited(functools.partial(_with_mappings, empty)) for empty in NO_LISTS),
        *(edited(functools.partial(_with_spec, empty)) for empty in NO_SPECS),
        edited(lambda data: data["spec"].update(mappings=[None])),
        edited(lambda data: data["spec"].update(mappings=[[]])),
        edited(lambda data: data["spec"].update(mappings=[{}])),
        edited(lambda data: data["spec"].update(mapping=data["spec"].pop("mappings"))),
        edited(lambda data: data.update(mappings=data["spec"].pop("mappings"))),
    ],
)
def test_a_document_without_a_list_of_mappings_is_no_plan(text: str) -> None:
    found, problems = load(text, "plan.yaml")
    assert found is None
    assert problems


def test_an_explicit_empty_list_is_a_plan() -> None:
    found, problems = load(edited(lambda data: data["spec"].update(mappings=[])), "plan.yaml")
    assert problems == ()
    assert found is not None
    assert found.mappings == ()


@given(plans(), st.data())
def test_a_plan_with_anything_missing_null_or_of_another_type_is_no_plan(whole: Plan, data: st.DataObject) -> None:
    document = to_data(whole)
    place, key = data.draw(st.sampled_from(_places(document)))
    if data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(st.sampled_from([None, True, [[]], {"a": 1}]))
    found, problems = load(yaml.safe_dump(document), "plan.yaml")
    optional = key in ("cluster", "sourceRanges", "rule", "more", "IPv4", "IPv6") or (
        key == "pod" and "service" in place
    )
    assert optional or (found is None and problems)
    assert (found is None) == bool(problems)


def _places(value: Any) -> list[tuple[Any, str]]:
    """Every key of every mapping in a document, with the mapping."""
    if isinstance(value, list):
        return [place for entry in value for place in _places(entry)]
    if not isinstance(value, dict):
        return []
    return [(value, key) for key in value] + [place for entry in value.values() for place in _places(entry)]


@given(plans(), st.data())
def test_a_plan_with_damaged_bytes_is_the_plan_it_says_or_none_and_never_raises(
    whole: Plan, data: st.DataObject
) -> None:
    text = dump(whole)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 40))
    damaged = text[:at] + data.draw(st.text(alphabet="\n :-[]{}&*!'\"#0x1\0é", max_size=4)) + text[at + cut :]
    found, problems = load(damaged, "plan.yaml")
    assert (found is None) == bool(problems)
    if found is not None:
        assert load(dump(found), "plan.yaml") == (found, ())


@given(plans(), st.data())
def test_a_plan_that_was_cut_off_is_no_plan_unless_only_skipped_rows_went(whole: Plan, data: st.DataObject) -> None:
    text = dump(whole)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    found, _ = load(cut, "plan.yaml")
    assert found is None or found.mappings == whole.mappings


# --- the schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("apiVersion", ["v1", "nplconf.io/v1alpha1\n", None, 1]),
        ("kind", ["Policy", "nodeplan", ["NodePlan"]]),
        ("metadata.node", ["", "Worker", "a b", "worker-1\n", "a" * 254, "-a", "a..b", 5, "a/b"]),
        ("metadata.cluster", ["", None, "a b", "a" * 129, "x\n"]),
        ("spec.nodeIPs", [None, [], "10.10.10.10"]),
        ("spec.nodeIPs.IPv4", ["10.10.10.10\n", None, "", 10]),
        ("spec.portRange", [None, "61000-62000", [61000, 62000]]),
        ("spec.portRange.first", [0, -1, 65536, 61000.0, "61000", True, None, 10**30]),
        (
            "spec.mappings[0].nodePort",
            [0, 65536, "61044", 61044.0, True, None, "061044", 10**30, float("nan"), float("inf")],
        ),
        ("spec.mappings[0].podPort", [0, 65536, "http", 1.5, False]),
        ("spec.mappings[0].protocol", ["TCP", "dccp", "", "tcp\n", None]),
        ("spec.mappings[0].ipFamily", ["ipv4", "IPv5", 4]),
        ("spec.mappings[0].via", ["", "DNAT", None]),
        ("spec.mappings[0].pod", [None, "shop/web-0", []]),
        ("spec.mappings[0].pod.namespace", ["", "Shop", "a.b", "a" * 64, "shop\n", "a/b", "-shop"]),
        ("spec.mappings[0].pod.name", ["", "Web", "web_0", "a" * 254, "web-0\n", "web/0", "web-0-", "*", "x\x1b[31m"]),
        ("spec.mappings[0].pod.uid", [None, "a b", "x\n", "a" * 129, 5, "é"]),
        ("spec.mappings[0].podIP", ["", "10.244.3.17\n", None, "fd12::1%eth0", "10.244.3.17/32", "web"]),
        ("spec.mappings[0].services", [None, "shop/web", {}]),
        ("spec.mappings[0].services[0]", ["web", "shop/web/x", "shop/Web", "shop/web\n", None, "/", ""]),
        ("spec.mappings[0].sourceRanges", [[], None, "10.0.0.0/8"]),
    ],
)
def test_an_unknown_value_is_a_problem_with_its_line(path: str, values: list[object]) -> None:
    steps: list[str | int] = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", path)]

    def put(value: object, data: Any) -> None:
        for step in steps[:-1]:
            data = data[step]
        data[steps[-1]] = value

    for value in values:
        problems = reported(edited(functools.partial(put, value)))
        assert [one for one in problems if one[0].startswith(path)], value


def test_an_unknown_key_is_reported_with_its_own_line_at_any_depth() -> None:
    text = edited(lambda data: (data.update(a=1), data["spec"]["mappings"][1]["pod"].update({"b.c": 1})))
    assert reported(text) == [('spec.mappings[1].pod["b.c"]', "unknown-key"), ("a", "unknown-key")]
    lines = [problem.line for problem in validate(text, "f")]
    assert [text.splitlines()[line - 1].split(":")[0].strip() for line in lines] == ["b.c", "a"]


def test_each_key_that_is_missing_is_reported_once() -> None:
    assert reported("kind: NodePlan") == [
        ("apiVersion", "missing-key"),
        ("metadata", "missing-key"),
        ("spec", "missing-key"),
    ]


def test_what_the_reader_refused_is_not_reported_again_by_its_consequences() -> None:
    text = (
        dump(plan(mapping()))
        .replace("[shop/web]", "&a [*a]")
        .replace("portRange", "portRange: {first: 5}\n  portRange")
    )
    assert reported(text) == [
        ("spec.portRange.last", "missing-key"),
        ("spec.portRange", "duplicate-key"),
        ("spec.mappings[0].services", "yaml-anchor"),
        ("spec.mappings[0].services[0]", "yaml-alias"),
    ]


def test_a_number_that_is_too_large_to_read_is_reported_once() -> None:
    text = dump(plan(mapping())).replace("podPort: 8080", f"podPort: {'9' * 30}")
    assert reported(text) == [("spec.mappings[0].podPort", "integer-too-large")]


def test_a_row_that_the_schema_refuses_does_not_hide_what_is_wrong_with_other_rows() -> None:
    text = dump(plan(mapping(), mapping(node_port=61045, pod_port=8081), mapping(node_port=70, pod_port=8082)))
    assert reported(text.replace("podPort: 8080", "podPort: x")) == [
        ("spec.mappings[0].podPort", "wrong-type"),
        ("spec.mappings[2]", "sorted"),
        ("spec.mappings[2].nodePort", "node-port-in-range"),
    ]


def test_a_key_that_only_looks_like_a_path_hides_nothing() -> None:
    text = dump(plan(mapping(), mapping(node_port=70, pod_port=8082))) + '"spec.portRange": 1\n'
    assert reported(text) == [
        ("spec.mappings[1]", "sorted"),
        ("spec.mappings[1].nodePort", "node-port-in-range"),
        ('["spec.portRange"]', "unknown-key"),
    ]


def test_a_plan_with_a_thousand_faults_says_where_it_stopped_to_look() -> None:
    problems = validate(dump(plan(*rows(2000), port_range=PortRange(1, 65535))).replace("tcp", "tpc"), "f")
    assert len(problems) == 1001
    assert problems[0].rule == "too-many-problems"


@pytest.mark.parametrize(
    ("row", "rules"), [("{a: {b: {c: {}}}}", {"unknown-key", "missing-key"}), ("{nodePort: 61044}", {"missing-key"})]
)
@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_long_list_of_wrong_rows_is_refused_early(row: str, rules: set[str], blank: str) -> None:
    head = dump(plan()).partition("  mappings: []")[0] + "  mappings:\n"
    first, *found = validate(head + f"    - {row}\n{blank}" * 20_000, "f")
    assert (first.rule, len(found)) == ("too-many-problems", 1000)
    assert {problem.rule for problem in found} == rules
    assert found[0].line == head.count("\n") + 1
    assert found[0].path.startswith("spec.mappings[0]")


def test_a_long_list_where_no_list_belongs_is_refused_early() -> None:
    text = dump(plan()).replace("metadata:\n  node: worker-1\n", "metadata:\n" + "  - {a: 1}\n" * 20_000)
    assert [(problem.path, problem.rule) for problem in validate(text, "f")] == [
        ("", "too-many-problems"),
        ("metadata", "wrong-type"),
    ]


def test_a_long_plan_with_right_first_rows_is_read_to_its_end() -> None:
    many = plan(*rows(13_000), port_range=PortRange(1, 65535))
    assert validate(dump(many), "f") == ()
    text = dump(many)
    last = text.rindex("nodePort")
    (problem,) = validate(f"{text[:last]}nodeport{text[last + 8 :]}", "f")[1:]
    assert problem.rule == "unknown-key"


def test_a_plan_whose_rows_all_lack_a_key_gets_one_summary() -> None:
    text = dump(plan(*rows(1100), port_range=PortRange(1, 65535)))
    problems = validate(re.sub(r" +podPort: .*\n", "", text), "f")
    assert {problem.rule for problem in problems} == {"missing-key", "too-many-problems"}


def test_a_mapping_full_of_unknown_keys_is_as_many_faults_as_it_has_keys() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(2000))
    assert len(validate(f"spec: {{{keys}}}", "f")) == 1001


# --- the rules -------------------------------------------------------------------------------------------------------


def test_one_number_serves_one_pod_port() -> None:
    assert of_rows(mapping(), mapping(protocol="udp", pod_port=8081)) == [
        ("spec.mappings[1].nodePort", "one-number-one-pod-port")
    ]
    assert of_rows(mapping(), mapping(protocol="udp", pod=WEB1, pod_ip="10.244.3.18")) == [
        ("spec.mappings[1].nodePort", "one-number-one-pod-port")
    ]


def test_the_facts_of_a_pod_are_one_in_host_port_rows_too() -> None:
    host = {"via": "hostPort", "node_port": 80}
    again = PodRef("shop", "web-0", "c2f1")
    assert of_rows(mapping(**host), mapping(**host, pod=again)) == [
        ("spec.mappings[1]", "duplicate"),
        ("spec.mappings[1].pod", "one-pod-one-uid"),
    ]
    assert of_rows(mapping(**host), mapping(**host | {"node_port": 81}, pod=WEB1)) == [
        ("spec.mappings[1].podIP", "one-ip-one-pod")
    ]


def test_a_range_of_one_number_has_that_one_alone() -> None:
    assert of_rows(mapping(), port_range=PortRange(61044, 61044)) == []
    assert of_rows(mapping(), port_range=PortRange(61000, 61000)) == [
        ("spec.mappings[0].nodePort", "node-port-in-range")
    ]


def test_one_pod_port_has_one_number() -> None:
    assert of_rows(mapping(), mapping(protocol="udp", node_port=61045)) == [
        ("spec.mappings[1].nodePort", "one-pod-port-one-number")
    ]


def test_all_protocols_and_families_of_a_pod_port_share_a_number() -> None:
    six = {"family": "IPv6", "node_ip": "fd12::10", "pod_ip": "fd12:0:0:1::17"}
    four = [mapping(), mapping(protocol="udp"), mapping(**six), mapping(**six, protocol="udp")]
    assert of_rows(*four) == []


def test_a_host_port_is_bound_neither_by_the_range_nor_by_one_number_for_one_pod_port() -> None:
    host = {"via": "hostPort", "node_ip": "192.0.2.1"}
    both = [mapping(node_port=80, **host), mapping(node_port=81, protocol="udp", **host), mapping()]
    assert of_rows(*both) == []
    assert of_rows(mapping(node_port=80, **host), mapping(node_port=80, pod=WEB1, pod_ip="10.244.3.18", **host)) == []


def test_a_port_family_and_protocol_is_used_once() -> None:
    other = {"pod": WEB1, "pod_ip": "10.244.3.18"}
    assert of_rows(mapping(), mapping()) == [("spec.mappings[1]", "duplicate")]
    assert of_rows(mapping(via="hostPort"), mapping(via="hostPort")) == [("spec.mappings[1]", "duplicate")]
    assert of_rows(mapping(via="hostPort"), mapping(**other)) == [("spec.mappings[1]", "duplicate")]
    assert of_rows(mapping(), mapping(via="hostPort", **other)) == [("spec.mappings[1]", "duplicate")]
    assert of_rows(mapping(via="hostPort", **other), mapping(via="hostPort")) == []


def test_a_node_port_lies_in_the_plans_range() -> None:
    inside = [mapping(node_port=61000), mapping(node_port=62000, pod_port=1)]
    assert of_rows(*inside) == []
    assert of_rows(mapping(node_port=60999), mapping(node_port=62001, pod_port=1)) == [
        ("spec.mappings[0].nodePort", "node-port-in-range"),
        ("spec.mappings[1].nodePort", "node-port-in-range"),
    ]


def test_a_range_does_not_end_before_it_begins() -> None:
    assert of_rows(mapping(), port_range=PortRange(62000, 61000)) == [("spec.portRange", "port-range")]
    assert of_rows(mapping(), port_range=PortRange(61044, 61044)) == []


def test_rows_are_sorted_by_number_then_family_then_protocol() -> None:
    six = mapping(family="IPv6", node_ip="fd12::10", pod_ip="fd12:0:0:1::17")
    assert of_rows(six, mapping()) == [("spec.mappings[1]", "sorted")]
    assert of_rows(mapping(protocol="udp"), mapping()) == [("spec.mappings[1]", "sorted")]
    assert of_rows(mapping(protocol="udp"), six) == []
    assert of_rows(mapping(node_port=61045, pod_port=1), mapping()) == [("spec.mappings[1]", "sorted")]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "169.254.1.1", "224.0.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255"),
        *("10.244.3.017", "10.244.3", "10.244.3.256", "fd12::17"),
    ],
)
def test_an_address_that_no_pod_of_the_family_can_have_is_a_problem(address: str) -> None:
    (problem,) = validate(dump(plan(mapping(pod_ip=address))), "f")
    assert (problem.path, problem.rule) == ("spec.mappings[0].podIP", "address")


@pytest.mark.parametrize(
    "address",
    [
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "fd12:0::1",
        "fd12:0:0:0:0:0:0:1",
        "::ffff:10.0.0.1",
        "::ffff:a00:1",
        "10.0.0.1",
        "fd12:::1",
    ],
)
def test_an_ipv6_address_that_no_pod_can_have_is_a_problem(address: str) -> None:
    row = mapping(family="IPv6", node_ip="fd12::10", pod_ip=address)
    assert of_rows(row) == [("spec.mappings[0].podIP", "address")]


def test_the_advertised_address_of_a_row_is_the_nodes_of_that_family() -> None:
    assert of_rows(mapping(node_ip="10.10.10.11")) == [("spec.mappings[0].nodeIP", "node-ip-advertised")]
    assert of_rows(mapping(), node_ips={"IPv6": "fd12::10"}) == [("spec.mappings[0].nodeIP", "node-ip-advertised")]
    assert of_rows(node_ips={}) == []


def test_an_advertised_address_is_of_its_family_and_can_be_reached() -> None:
    assert of_rows(node_ips={"IPv4": "127.0.0.1"}) == [("spec.nodeIPs.IPv4", "address")]
    assert of_rows(node_ips={"IPv4": "10.0.0.300", "IPv6": "fe80::1"}) == [
        ("spec.nodeIPs.IPv4", "address"),
        ("spec.nodeIPs.IPv6", "address"),
    ]


@pytest.mark.parametrize("address", ["64:ff9b::a0a:a0a", "2002:a0a:a0a::1", "fd00:ec2::254", "fe80::1"])
def test_a_pod_does_not_have_an_address_that_leads_elsewhere(address: str) -> None:
    row = mapping(family="IPv6", node_ip="fd12::10", pod_ip=address)
    assert of_rows(row) == [("spec.mappings[0].podIP", "address")]


def test_a_pod_does_not_have_the_nodes_address() -> None:
    assert of_rows(mapping(pod_ip="10.10.10.10")) == [("spec.mappings[0].podIP", "pod-ip-of-node")]


def test_a_pod_has_one_uid_and_its_own_address_per_family() -> None:
    second = mapping(node_port=61045, pod_port=8081)
    twin = second._replace(pod=PodRef("shop", "web-0", "other"))
    assert of_rows(mapping(), twin) == [("spec.mappings[1].pod", "one-pod-one-uid")]
    assert of_rows(mapping(), second._replace(pod_ip="10.244.3.18")) == [("spec.mappings[1].podIP", "one-pod-one-ip")]
    assert of_rows(mapping(), second._replace(pod=WEB1)) == [("spec.mappings[1].podIP", "one-ip-one-pod")]
    assert of_rows(mapping(), second._replace(pod=WEB1, pod_ip="10.244.3.18")) == []


def test_a_pod_of_a_manifest_has_no_uid() -> None:
    assert of_rows(mapping(pod=PodRef("shop", "web-0", ""))) == []


def test_services_are_sorted_and_each_is_there_once() -> None:
    path = "spec.mappings[0].services"
    assert of_rows(mapping(services=("shop/b", "shop/a"))) == [(path, "services-sorted")]
    assert of_rows(mapping(services=("shop/a", "shop/a"))) == [(path, "services-sorted")]
    assert of_rows(mapping(services=("shop/a", "shop/b"))) == []


def test_source_ranges_are_networks_of_the_rows_family_in_their_one_spelling() -> None:
    ranges = ("10.0.0.0/8", "10.0.0.1/8", "fd00::/8", "fd00:0::/8", "10.0.0.0/33", "192.0.2.7/32")
    assert of_rows(mapping(source_ranges=ranges)) == [
        (f"spec.mappings[0].sourceRanges[{at}]", "network") for at in (1, 2, 3, 4)
    ]


def test_ten_thousand_mappings_are_loaded_and_validated_in_under_three_seconds() -> None:
    whole = plan(*rows(10_000), port_range=PortRange(1024, 65535))
    text = dump(whole)
    assert load(text, "f") == (whole, ())
    assert_below(3, lambda: load(text, "f"))


@pytest.mark.timeout(30)
def test_a_hundred_thousand_faults_are_reported_as_a_thousand_in_little_memory() -> None:
    """Anybody who may open a pull request may write such a plan."""
    head = "apiVersion: nplconf.io/v1alpha1\nkind: NodePlan\nmetadata: {node: worker-1}\nspec:\n  mappings:\n"
    tracemalloc.start()
    try:
        found = validate(head + "    - {a: 1}\n" * 10_000, "p.yaml")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1001
    assert "too-many-problems" in {problem.rule for problem in found}
    assert most < 50e6
