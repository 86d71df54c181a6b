"""What is wrong on a node beside its mappings."""

from dataclasses import replace

import pytest
from readings import decided, observed
from worlds import BOTH, pod, service

from nplconf.model import ContainerPort
from nplconf.rules.iptables.table import read


@pytest.mark.parametrize(("used", "other"), [("iptables-nft", "iptables-legacy"), ("iptables-legacy", "iptables-nft")])
def test_leftovers_name_the_backend_that_has_them(used: str, other: str) -> None:
    (finding,) = decided(on=observed(backend=used, leftovers={other: ("IPv4",)})).findings
    assert f"{other}, beside {used}" in finding.message


@pytest.mark.parametrize(("families", "found"), [(["IPv4"], []), (BOTH, ["IPv6"])])
def test_a_family_that_cannot_be_read_is_a_finding_where_something_is_mapped_in_it(
    families: list[str], found: list[str]
) -> None:
    blind = observed(found={"IPv4": read("")}, unreadable={"IPv6": "no ip6tables"})
    both = pod(ips=["10.244.3.17", "fd00:244::17"])
    found_now = decided(both, service(families=families), on=blind).findings
    assert [(f.kind, f.subject) for f in found_now] == [("unreadable", family) for family in found]
    advertised = replace(both, ports=(ContainerPort(8080, host_port=4001),))
    assert decided(advertised, service(families=families), on=blind).findings == ()
