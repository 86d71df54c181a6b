"""A short soak. Its check detects faults."""

import subprocess
import sys
from pathlib import Path

import pytest
from soak import check
from soak.check import Rule
from worlds import ANNOTATION, raw_pod, raw_service

TESTS = Path(__file__).parent.parent
ENTRY = '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61000,"protocol":"tcp","ipFamily":"IPv4"}]'
POD = raw_pod("web-0", ["10.244.3.17"], annotations={ANNOTATION: ENTRY})
RULE = Rule("tcp", 61000, "10.244.3.17", 8080)
DNAT = "-p tcp -m tcp --dport 61000 -j DNAT --to-destination 10.244.3.17:8080"
ELEMENT = 'elements = { 61000 comment "nplconf:shop/web-0:8080:u" : 10.244.3.17 . 8080 }'


@pytest.mark.kernel
@pytest.mark.parametrize("way", [(), ("--watch",)], ids=["one_shot", "watch"])
def test_a_short_soak_has_no_fault(way: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "soak", "--runs", "60", "--seed", "6281", *way]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all well") == 3


def test_a_node_as_it_must_be_has_no_faults() -> None:
    assert check.faults([POD, raw_service()], {RULE}, set()) == []


@pytest.mark.parametrize(
    ("objects", "live", "unheld", "fault"),
    [
        ([POD], {RULE}, set(), "nothing asks for"),
        ([POD, raw_service(enabled=False)], {RULE}, set(), "nothing asks for"),
        ([POD, raw_service()], set(), set(), "without a rule"),
        ([raw_pod("web-0", ["10.244.3.17"]), raw_service()], {RULE}, set(), "no annotation names"),
        ([POD, raw_service()], {RULE}, {61000}, "nobody holds"),
        ([POD, raw_service()], {RULE, RULE._replace(protocol="udp", ip="10.244.3.18")}, set(), "two places"),
    ],
)
def test_each_fault_is_found(objects: list[check.Raw], live: set[Rule], unheld: set[int], fault: str) -> None:
    assert any(fault in found for found in check.faults(objects, live, unheld))


@pytest.mark.parametrize("listing", [[f"-A NPLCONF-TCP-EE4 {DNAT}"], ["map tcp-ipv4 {", ELEMENT, "}"]])
def test_rules_are_read_from_the_listing_of_each_backend(listing: list[str]) -> None:
    assert check.rules(listing) == {RULE}
