"""Plans as text and as data."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from plans import any_plan, mapping, plan, plans

from nplconf.files import strict_yaml
from nplconf.model import Plan, PodRef, Skipped
from nplconf.plan.document import dump, from_data, mapping_from_data, mapping_to_data, to_data
from nplconf.plan.validate import load

GOLDEN = Path(__file__).parent / "golden" / "plan.yaml"


def documented() -> Plan:
    return plan(
        mapping(
            node_port=4001,
            protocol="udp",
            node_ip="10.10.10.11",
            pod=PodRef("kube-system", "dns-7d9f8b6c5-x2x4z", "91d2f7c4-52c7-4f66-8f0f-6f0c2a5d1e77"),
            pod_ip="10.244.3.9",
            pod_port=53,
            services=("kube-system/dns",),
            via="hostPort",
        ),
        mapping(services=("shop/admin", "shop/web"), source_ranges=("10.0.0.0/8",)),
        mapping(family="IPv6", node_ip="fd12::10", pod_ip="fd12:0:0:1::17"),
        skipped=(
            Skipped("shop/job-1", 9090, "sctp", "shop/job", "protocol-unsupported", "sctp: not tcp, not udp"),
            Skipped("shop/job-2", "metrics", "tcp", "shop/job", "policy", "denied", "spec.namespaces.deny[0]"),
            Skipped(None, "80", "tcp", "shop/old", "service-type", 'a "NodePort" Service\x1b[31m'),
        ),
    )


def test_a_plan_is_written_as_the_golden_file_and_read_from_it() -> None:
    assert dump(documented()) == GOLDEN.read_text()
    assert load(GOLDEN.read_text(), "plan.yaml") == (documented(), ())


@given(plans())
def test_what_is_dumped_is_loaded_as_it_was_and_dumped_as_the_same_bytes(written: Plan) -> None:
    text = dump(written)
    read, problems = load(text, "plan.yaml")
    assert problems == ()
    assert read == written
    assert dump(read) == text


@given(any_plan())
@example(
    plan(
        mapping(
            pod=PodRef("no", "1e3", "0x1f"), pod_ip="1:2:3:4:5:6:7:8", services=("~", "", "a: b", "#", "2024-01-01")
        )
    )
)
def test_no_string_changes_on_its_way_through_a_file_whatever_reads_it(written: Plan) -> None:
    text = dump(written)
    assert text.isascii()
    assert from_data(strict_yaml.load(text, source="p").value) == written
    assert yaml.load(text, yaml.CSafeLoader) == yaml.safe_load(text) == to_data(written)


@given(any_plan())
def test_plain_data_survives_json(written: Plan) -> None:
    assert from_data(json.loads(json.dumps(to_data(written)))) == written


def test_half_a_surrogate_pair_which_no_file_can_hold_becomes_a_replacement_character() -> None:
    (row,) = to_data(plan(skipped=(Skipped(None, 1, "tcp", "a/b", "policy", "x\ud800"),)))["spec"]["skipped"]
    text = dump(plan(skipped=(Skipped(None, 1, "tcp", "a/b", "policy", "x\ud800"),)))
    assert row["message"] == "x\ud800"
    assert yaml.safe_load(text)["spec"]["skipped"][0]["message"] == "x\ufffd"


def test_empty_lists_are_written_out() -> None:
    text = dump(plan())
    assert text.endswith("  mappings: []\n  skipped: []\n")
    assert load(text, "p") == (plan(), ())


def test_the_cluster_is_left_out_where_it_is_not_known() -> None:
    text = dump(plan(cluster=None))
    assert "cluster" not in text
    assert load(text, "p") == (plan(cluster=None), ())


def test_the_rows_can_be_cut_off_and_an_empty_list_put_in_their_place() -> None:
    text = dump(documented())
    emptied = text[: text.index("  mappings:")] + "  mappings: []\n  skipped: []\n"
    read, problems = load(emptied, "p")
    assert problems == ()
    assert read is not None
    assert read.mappings == ()


def test_node_ips_are_written_ipv4_first_in_whatever_order_they_came() -> None:
    addresses = {"IPv6": "fd12::10", "IPv4": "10.10.10.10"}
    assert dump(plan(node_ips=addresses)) == dump(plan())


def test_the_json_of_a_mapping_has_exactly_the_documented_keys() -> None:
    data = mapping_to_data(mapping())
    assert list(data) == ["nodePort", "protocol", "ipFamily", "nodeIP", "podIP", "podPort", "pod", "services", "via"]
    assert list(data["pod"]) == ["namespace", "name", "uid"]
    assert mapping_from_data(data) == mapping()


def test_source_ranges_are_in_the_json_of_a_mapping_only_where_there_are_any() -> None:
    bounded = mapping(source_ranges=("10.0.0.0/8",))
    assert mapping_to_data(bounded)["sourceRanges"] == ["10.0.0.0/8"]
    assert mapping_from_data(mapping_to_data(bounded)) == bounded


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "False",
        "null",
        "y",
        "N",
        "NaN",
        "inf",
        "1e3",
        "0b1",
        "12:30",
        "::1",
        "-a",
        "a b",
        "é",
    ],
)
def test_a_word_that_some_reader_takes_for_something_else_is_quoted(word: str) -> None:
    assert f'uid: "{word.encode("ascii", "backslashreplace").decode()}"' in dump(
        plan(mapping(pod=PodRef("a", "b", word)))
    )


def test_a_delete_character_is_written_as_an_escape() -> None:
    assert 'uid: "a\\x7fb"' in dump(plan(mapping(pod=PodRef("a", "b", "a\x7fb"))))
