"""The mappings that foreign rules hit."""

import worlds

from nplconf.model import Family, PortMapping
from nplconf.rules.foreign import ForeignRule, Network, distinct, findings, hits

ADDRESSES: dict[Family, tuple[str, ...]] = {"IPv4": ("10.0.0.1", "10.10.10.10"), "IPv6": ("fd00:10::10",)}
RULE = ForeignRule("IPv4", "tcp", 61040, 61050, "iptables-nft X", "-p tcp -j DNAT")
MAPPING = worlds.mapping(61044)


def hit(rule: ForeignRule, *mappings: PortMapping) -> set[int]:
    return {key.node_port for key in hits([rule], mappings or [MAPPING], ADDRESSES)}


def test_a_mapping_is_hit_by_its_port_protocol_and_family() -> None:
    assert hit(RULE) == {61044}
    assert hit(RULE, worlds.mapping(61039), worlds.mapping(61051)) == set()
    assert hit(RULE, worlds.mapping(61044, "udp"), worlds.mapping(61044, family="IPv6")) == set()


def test_a_host_port_is_the_cnis_own_rule() -> None:
    assert hit(RULE, worlds.mapping(61044, via="hostPort")) == set()


def test_a_rule_for_another_destination_hits_nothing() -> None:
    def to(*networks: tuple[bool, str]) -> ForeignRule:
        return RULE._replace(destinations=tuple(Network(*network) for network in networks))

    assert hit(to((False, "10.10.10.10/32"))) == hit(to((False, "10.0.0.0/8"))) == {61044}
    assert hit(to((False, "10.96.0.1/32"))) == hit(to((True, "10.0.0.0/8"))) == set()
    assert hit(to((False, "10.0.0.0/8"), (True, "10.10.10.10/32"))) == {61044}
    assert hit(to((False, "nonsense"))) == set()


def test_a_rule_that_leads_to_the_same_pod_and_port_takes_nothing_away() -> None:
    assert hit(RULE._replace(to=f"{MAPPING.pod_ip}:8080")) == set()
    assert hit(RULE._replace(to=f"{MAPPING.pod_ip}:8081")) == {61044}
    six = RULE._replace(family="IPv6", to="[fd00:244::17]:8080")
    assert hit(six, worlds.mapping(61044, family="IPv6")) == set()


def test_a_finding_names_the_rule_once_and_some_of_its_mappings() -> None:
    mappings = [worlds.mapping(number) for number in range(61040, 61050)]
    (finding,) = findings(hits([RULE], mappings, ADDRESSES), mappings)
    assert (finding.kind, finding.subject) == ("foreign", "IPv4 iptables-nft X")
    assert "tcp/61040" in finding.message
    assert "and 5 more" in finding.message
    assert "-p tcp -j DNAT" in finding.message


def test_a_long_rule_is_cut() -> None:
    long = RULE._replace(text="x" * 10_000)
    (finding,) = findings(hits([long], [MAPPING], ADDRESSES), [MAPPING])
    assert len(finding.message) < 600


def test_a_rule_for_both_hooks_is_named_once_and_one_for_the_node_alone_is_marked() -> None:
    local = RULE._replace(local=True)
    assert distinct([local, RULE, local]) == (RULE,)
    assert distinct([local, local]) == (local,)
    assert hits([local], [MAPPING], ADDRESSES) == hits([RULE], [MAPPING], ADDRESSES, local=True) == {}
    (finding,) = findings(hits([local], [MAPPING], ADDRESSES, local=True), [MAPPING])
    assert "takes the packets that this node sends to itself first" in finding.message
