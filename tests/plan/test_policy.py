"""Policies: the reviewed file that limits automatic mode."""

import fnmatch
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nplconf.model import PortRange
from nplconf.plan.policy import Pin, Policy, Reserved, Sources, load, matches, validate

HEAD = "apiVersion: nplconf.io/v1alpha1\nkind: Policy\nspec:\n"
DOCUMENTED = (
    HEAD
    + """
  namespaces: {allow: [shop, "team-*"], deny: [kube-system]}      # deny wins
  pins: [{pod: shop/web-0, podPort: 8080, nodePort: 61080}, {service: web/front, podPort: 80, nodePort: 61081}]
  ranges: [{namespace: shop, portRange: {first: 61900, last: 61999}}]
  caps: {perPod: 10, perNamespace: 100}
  sourceRanges: [{namespace: shop, cidrs: [10.0.0.0/8]}]
"""
)
PORTS = PortRange(61000, 62000)


def policy(spec: str) -> Policy:
    found, problems = load(HEAD + spec, "policy.yaml", PORTS)
    assert problems == ()
    assert found is not None
    return found


def reported(spec: str) -> list[tuple[str, str]]:
    found, problems = load(HEAD + spec, "policy.yaml", PORTS)
    assert (found is None) == bool(problems)
    return [(problem.path, problem.rule) for problem in problems]


def test_the_documented_policy_is_read_as_it_says() -> None:
    assert load(DOCUMENTED, "policy.yaml", PORTS) == (
        Policy(
            allow=("shop", "team-*"),
            deny=("kube-system",),
            pins=(Pin("pod", "shop/web-0", 8080, 61080, 0), Pin("service", "web/front", 80, 61081, 1)),
            ranges=(Reserved("shop", PortRange(61900, 61999), 0),),
            per_pod=10,
            per_namespace=100,
            sources=(Sources("shop", ("10.0.0.0/8",), 0),),
        ),
        (),
    )


def test_an_empty_spec_bounds_nothing() -> None:
    nothing = policy("  {}")
    assert nothing == Policy()
    assert nothing.denied("kube-system") is None
    assert nothing.ranges_of("shop") == ()
    assert nothing.networks_of("shop") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "spec: {}",
        HEAD,
        HEAD + "  null",
        HEAD + "  []",
        DOCUMENTED.replace("kind: Policy", "kind: NodePlan"),
    ],
)
def test_a_document_that_is_no_policy_bounds_not_nothing_but_is_a_problem(text: str) -> None:
    assert validate(text, "policy.yaml")


def test_deny_wins_and_names_its_pattern() -> None:
    bounds = policy('  namespaces: {allow: [shop, "team-*"], deny: [kube-system, "*-secret", "team-x*"]}')
    output = {
        name: bounds.denied(name)
        for name in ("shop", "team-a", "team-", "team", "team-xy", "team-secret", "kube-system")
    }
    assert output == {
        "shop": None,
        "team-a": None,
        "team-": None,
        "team": "spec.namespaces.allow",
        "team-xy": "spec.namespaces.deny[2]",
        "team-secret": "spec.namespaces.deny[1]",
        "kube-system": "spec.namespaces.deny[0]",
    }


def test_an_empty_list_allows_no_namespace_and_a_missing_one_allows_all() -> None:
    assert policy("  namespaces: {allow: []}").denied("shop") == "spec.namespaces.allow"
    assert policy("  namespaces: {deny: []}").denied("shop") is None


@example("*a*a*", "-a")
@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab-", max_size=8))
def test_in_a_pattern_a_star_alone_is_special(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)
    assert matches(pattern, name) == bool(re.fullmatch(pattern.replace("*", ".*"), name))


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("ab*ba", "abba", True),
        ("ab*ba", "aba", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*b", "ab", False),
        ("*b*", "b", True),
        ("*a*a*", "a", False),
        ("*a*b*", "ba", False),
        ("*ab*ba*", "aba", False),
    ],
)
def test_the_parts_of_a_pattern_must_follow_in_order(pattern: str, name: str, *, found: bool) -> None:
    assert matches(pattern, name) is found


def test_a_pattern_of_many_stars_is_matched_in_no_time() -> None:
    assert not matches("*a" * 31, "a" * 30 + "b" * 33)


def test_ranges_and_networks_are_those_of_the_namespace_alone() -> None:
    bounds = policy(
        f"  ranges: [{_range('a', 61001, 61002)}, {_range('b', 61003, 61003)}, {_range('a', 61004, 61004)}]\n"
        "  sourceRanges: [{namespace: a, cidrs: [10.0.0.0/8, 'fd00::/8']}]"
    )
    assert [reserved.rule for reserved in bounds.ranges_of("a")] == ["spec.ranges[0]", "spec.ranges[2]"]
    assert bounds.ranges_of("aa") == ()
    assert bounds.networks_of("a") == ("10.0.0.0/8", "fd00::/8")
    assert bounds.networks_of("b") == ()


def _pin(subject: str = "pod: shop/web-0", port: int = 80, number: int = 61080) -> str:
    return f"{{{subject}, podPort: {port}, nodePort: {number}}}"


def _range(namespace: str, first: int, last: int) -> str:
    return f"{{namespace: {namespace}, portRange: {{first: {first}, last: {last}}}}}"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            f"  namespaces: {{deny: [kube-*]}}\n  pins: [{_pin('pod: kube-system/a')}]",
            ("spec.pins[0].pod", "pin-denied"),
        ),
        (f"  namespaces: {{deny: [web]}}\n  pins: [{_pin('service: web/a')}]", ("spec.pins[0].service", "pin-denied")),
        (f"  pins: [{_pin()}, {_pin(port=81)}]", ("spec.pins[1].nodePort", "one-number-one-pin")),
        (f"  pins: [{_pin()}, {_pin('service: shop/web')}]", ("spec.pins[1].nodePort", "one-number-one-pin")),
        (f"  pins: [{_pin()}, {_pin(number=61081)}]", ("spec.pins[1]", "one-pod-port-one-pin")),
        (f"  pins: [{_pin(number=60999)}]", ("spec.pins[0].nodePort", "in-port-range")),
        (
            f"  pins: [{_pin()}]\n  ranges: [{_range('web', 61080, 61081)}]",
            ("spec.pins[0].nodePort", "range-of-another"),
        ),
        (f"  pins: [{_pin('service: a/b, pod: a/c')}]", ("spec.pins[0]", "malformed")),
        ("  pins: [{podPort: 80, nodePort: 61080}]", ("spec.pins[0]", "malformed")),
        (f"  pins: [{_pin('pod: web-0')}]", ("spec.pins[0].pod", "malformed")),
        (f"  pins: [{_pin('pod: shop/*')}]", ("spec.pins[0].pod", "malformed")),
        (f"  ranges: [{_range('a', 61005, 61004)}]", ("spec.ranges[0].portRange", "port-range")),
        (f"  ranges: [{_range('a', 60999, 61004)}]", ("spec.ranges[0].portRange", "in-port-range")),
        (f"  ranges: [{_range('a', 61999, 62001)}]", ("spec.ranges[0].portRange", "in-port-range")),
        (
            f"  ranges: [{_range('b', 61004, 61006)}, {_range('a', 61001, 61004)}]",
            ("spec.ranges[0].portRange", "ranges-overlap"),
        ),
        (
            f"  ranges: [{_range('a', 61001, 61100)}, {_range('b', 61002, 61003)}, {_range('c', 61200, 61300)}]",
            ("spec.ranges[1].portRange", "ranges-overlap"),
        ),
        (f"  ranges: [{_range('team-*', 61001, 61100)}]", ("spec.ranges[0].namespace", "malformed")),
        ("  caps: {perPod: 0}", ("spec.caps.perPod", "out-of-range")),
        ("  caps: {perNamespace: -1}", ("spec.caps.perNamespace", "out-of-range")),
        ("  caps: {perPod: 1.0}", ("spec.caps.perPod", "wrong-type")),
        ("  caps: {perNode: 1}", ("spec.caps.perNode", "unknown-key")),
        ("  sourceRanges: [{namespace: a, cidrs: [10.0.0.1/8]}]", ("spec.sourceRanges[0].cidrs[0]", "network")),
        (
            "  sourceRanges: [{namespace: a, cidrs: [10.0.0.0/8, 10/8, x]}]",
            ("spec.sourceRanges[0].cidrs[2]", "malformed"),
        ),
        ("  sourceRanges: [{namespace: a, cidrs: ['fd00::1/8']}]", ("spec.sourceRanges[0].cidrs[0]", "network")),
        ("  sourceRanges: [{namespace: a, cidrs: []}]", ("spec.sourceRanges[0].cidrs", "empty-list")),
        (
            "  sourceRanges: [{namespace: a, cidrs: [10.0.0.0/8]}, {namespace: a, cidrs: [10.0.0.0/8]}]",
            ("spec.sourceRanges[1].namespace", "one-namespace-one-entry"),
        ),
        ("  namespaces: {allow: [Shop]}", ("spec.namespaces.allow[0]", "malformed")),
        ("  namespaces: {allow: [shop, 'te?m']}", ("spec.namespaces.allow[1]", "malformed")),
        ("  namespaces: {deny: null}", ("spec.namespaces.deny", "wrong-type")),
        ("  pin: []", ("spec.pin", "unknown-key")),
    ],
)
def test_each_fault_is_reported_with_its_line(spec: str, problem: tuple[str, str]) -> None:
    assert reported(spec) == [problem]


def test_a_pin_whose_namespace_is_only_not_allowed_is_no_contradiction() -> None:
    assert reported(f"  namespaces: {{allow: [web]}}\n  pins: [{_pin()}]") == []


def test_a_pin_may_lie_in_the_range_of_its_own_namespace() -> None:
    assert reported(f"  pins: [{_pin()}]\n  ranges: [{_range('shop', 61080, 61080)}]") == []


def test_a_pod_and_a_service_of_one_name_are_two() -> None:
    assert reported(f"  pins: [{_pin('pod: a/b')}, {_pin('service: a/b', number=61081)}]") == []


def test_ranges_may_touch() -> None:
    assert reported(f"  ranges: [{_range('b', 61005, 61006)}, {_range('a', 61001, 61004)}]") == []


def test_without_a_port_range_numbers_are_only_port_numbers() -> None:
    text = HEAD + f"  pins: [{_pin(number=1)}]\n  ranges: [{_range('a', 2, 3)}]"
    assert validate(text, "policy.yaml") == ()


def test_a_malformed_entry_does_not_hide_what_is_wrong_with_the_others() -> None:
    spec = f"  caps: {{perPod: 0}}\n  pins: [{_pin(number=0)}, {_pin()}, {_pin()}]\n  namespaces: {{deny: [shop]}}"
    assert reported(spec) == [
        ("spec.caps.perPod", "out-of-range"),
        ("spec.pins[0].nodePort", "out-of-range"),
        ("spec.pins[1].pod", "pin-denied"),
        ("spec.pins[2]", "one-pod-port-one-pin"),
        ("spec.pins[2].nodePort", "one-number-one-pin"),
        ("spec.pins[2].pod", "pin-denied"),
    ]


@given(st.text(alphabet="\n :-[]{}&*!'\"#0x1é", max_size=4), st.integers(0, len(DOCUMENTED)), st.integers(0, 40))
def test_a_damaged_policy_never_raises(put: str, at: int, cut: int) -> None:
    found, problems = load(DOCUMENTED[:at] + put + DOCUMENTED[at + cut :], "policy.yaml", PORTS)
    assert (found is None) == bool(problems)


def test_a_policy_whose_pins_all_lack_a_key_gets_one_summary() -> None:
    pins = ", ".join(f"{{pod: shop/web-{i}, podPort: 80}}" for i in range(1100))
    assert {rule for _, rule in reported(f"  pins: [{pins}]")} == {"missing-key", "too-many-problems"}


@pytest.mark.parametrize("key", ["namespaces", "pins", "ranges", "caps", "sourceRanges"])
@pytest.mark.parametrize("value", ["5", "null", "a", "[5]", "{a: 5}", "[{}]"])
def test_a_part_of_another_shape_is_a_problem_with_its_line(key: str, value: str) -> None:
    found = reported(f"  {key}: {value}")
    assert found
    assert all(path.startswith(f"spec.{key}") for path, _ in found)


def test_a_range_that_ends_before_it_begins_is_that_and_nothing_else() -> None:
    assert reported("  ranges: [{namespace: a, portRange: {first: 62500, last: 61000}}]") == [
        ("spec.ranges[0].portRange", "port-range")
    ]


def test_a_range_overlaps_the_widest_before_it_though_others_lie_between() -> None:
    inside = f"{_range('a', 61001, 61100)}, {_range('b', 61002, 61003)}, {_range('c', 61050, 61060)}"
    later = f"{_range('d', 61200, 61300)}, {_range('e', 61250, 61260)}"
    assert reported(f"  ranges: [{inside}, {later}]") == [
        (f"spec.ranges[{index}].portRange", "ranges-overlap") for index in (1, 2, 4)
    ]


def test_a_key_that_only_looks_like_a_path_hides_nothing() -> None:
    assert reported(f"  pins: [{_pin(number=60999)}]\nspec.pins: 1") == [
        ("spec.pins[0].nodePort", "in-port-range"),
        ('["spec.pins"]', "unknown-key"),
    ]
