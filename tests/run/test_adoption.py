"""The result for each node port that an Antrea agent left."""

from readings import decided, observed
from worlds import mapping, plan, pod, service

from nplconf.desired.ports import Previous
from nplconf.model import PodPort, RuleKey
from nplconf.rules.antrea import Antrea, AntreaChain, AntreaRule
from nplconf.run.adoption import numbers, removals, review, served, unserved, with_numbers

WEB = PodPort("shop/web-0", 8080)
IP = "10.244.3.17"


def left(*rules: AntreaRule) -> Antrea:
    return Antrea(chains=(AntreaChain("nft", "IPv4", rules),))


def rule(number: int, protocol: str = "tcp", address: str = IP, port: int = 8080) -> AntreaRule:
    family = "IPv6" if ":" in address else "IPv4"
    return AntreaRule(number, family, protocol, address, port)  # type: ignore[arg-type]


def test_address_and_port_name_the_owner_of_a_number() -> None:
    assert numbers(left(rule(61002), rule(61003, address="10.244.3.99")), [pod()]) == {WEB: 61002}


def test_of_split_numbers_that_for_tcp_and_ipv4_stays() -> None:
    dual = pod(ips=(IP, "fd00:244::17"))
    rules = (rule(61001, "udp"), rule(61002, address="fd00:244::17"), rule(61004), rule(61003))
    assert numbers(left(*rules), [dual]) == {WEB: 61003}


def test_an_address_of_two_pods_or_of_an_ended_pod_has_no_owner() -> None:
    assert numbers(left(rule(61002)), [pod(), pod("other")]) == {}
    assert numbers(left(rule(61002)), [pod(phase="Succeeded")]) == {}
    assert numbers(left(rule(61002)), [pod(host_network=True)]) == {}


def test_allocation_gives_no_number_of_a_chain_to_anybody_else() -> None:
    found = with_numbers(
        Previous(), left(rule(61002), rule(61005, "udp"), rule(61009, address="10.1.1.1")), [pod()], 7.0
    )
    assert found.numbers == ({WEB: 61002},)
    assert found.taken == {61009}
    assert [(c.number, c.owner) for c in found.cooling] == [(61002, WEB), (61005, WEB)]
    assert with_numbers(Previous(), Antrea(), [pod()], 7.0) == Previous()


def test_a_port_of_a_chain_goes_to_no_other_pod_although_its_own_pod_asks_for_nothing() -> None:
    claim = '[{"podPort":8080,"nodePort":61002}]'
    other = pod("web-1", ("10.244.3.18",), namespace="team", annotation=claim)
    found = decided(pod(labels={}), other, service(namespace="team"), on=observed(antrea=left(rule(61002))))
    assert [m.node_port for m in found.plan.mappings if m.pod == other.ref] != [61002]


def test_each_port_and_what_becomes_of_it() -> None:
    reported = (
        '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61002,"protocols":["tcp"]},'
        '{"podPort":70,"nodeIP":"10.10.10.10","nodePort":61070},{"podPort":90,"nodeIP":"10.10.10.10","nodePort":61090}]'
    )
    rows = [mapping(61002), mapping(61002, "udp"), mapping(61003, pod_port=81), mapping(61090, pod_port=90)]
    rules = (
        *(rule(61002), rule(61005, "udp"), rule(40000, port=81)),
        *(rule(61008, port=99), rule(61009, address="10.1.1.1")),
    )
    found = {a.number: a for a in review(left(*rules), plan(*rows), [pod(annotation=reported)])}
    assert {number: a.verdict for number, a in found.items()} == {
        61002: "kept",
        61005: "moved",
        40000: "moved",
        61008: "removed",
        61009: "removed",
        61070: "withdrawn",
        61090: "kept",
    }
    assert "have one number" in found[61005].message
    assert "outside --port-range" in found[40000].message
    assert "10.1.1.1" in found[61009].message
    assert found[61009].owner is None
    assert found[61090].message == "its rule was lost; it is made again"
    assert found[61005].subject == "udp/61005 shop/web-0:8080"


def test_a_chain_stays_where_its_removal_would_cut_a_mapping_off() -> None:
    rows = [mapping(61002), mapping(61003, pod_port=81), mapping(4001, pod_port=1, via="hostPort")]
    chains = left(rule(61002), rule(61003, port=9)).chains
    assert unserved(chains, rows, set()) == (rows[0].subject,)
    assert unserved(chains, rows, {RuleKey(61002, "IPv4", "tcp")}) == ()


def test_flows_through_a_number_that_leads_nowhere_are_ended() -> None:
    chains = left(rule(61002, "udp"), rule(61005, "udp")).chains
    (change,) = removals(chains, [mapping(61002, "udp")])
    assert (change.action, change.mapping.key, change.mapping.pod.name) == ("delete", RuleKey(61005, "IPv4", "udp"), "")


def test_of_split_numbers_the_one_that_the_annotation_names_stays() -> None:
    published = '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61005,"protocol":"udp"}]'
    assert numbers(left(rule(61002), rule(61005, "udp")), [pod(annotation=published)]) == {WEB: 61005}
    other = '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61006,"protocol":"udp"}]'
    assert numbers(left(rule(61002), rule(61005, "udp")), [pod(annotation=other)]) == {WEB: 61002}


def test_an_entry_that_the_chain_serves_stays_and_another_one_does_not() -> None:
    published = (
        '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61002},'
        '{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61004,"protocol":"udp"}]'
    )
    rows = [mapping(61002), mapping(61002, pod_port=81), mapping(61004, "udp")]
    chain = left(rule(61002), rule(61004, "udp", address="10.1.1.1"))
    assert served(chain, rows, [pod(annotation=published)]) == {rows[0]}
    assert served(chain, rows, [pod()]) == served(Antrea(), rows, [pod(annotation=published)]) == frozenset()


def test_entries_that_nplconf_serves_are_not_antreas() -> None:
    published = '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61002}]'
    row = mapping(61002)
    assert review(Antrea(), plan(row), [pod(annotation=published)], live={row.key}) == ()
    (lost,) = review(Antrea(), plan(row), [pod(annotation=published)])
    assert lost.message == "its rule was lost; it is made again"
