"""What nft and the kernel list of a table, made from values without a kernel."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from worlds import RANGE

from nplconf.model import FAMILIES, Family, PortMapping
from nplconf.node import nftsets
from nplconf.node.netlink import attribute
from nplconf.rules.masquerade import Route, Routes, masquerade_sources
from nplconf.rules.nftables import lookup, table
from nplconf.rules.nftables.element import MEMBER, Element, Elements
from nplconf.rules.nftables.frame import TABLE, frame
from nplconf.rules.nftables.table import NftTable

ADDRESSES: dict[Family, tuple[str, ...]] = {"IPv4": ("10.10.10.10", "10.0.0.1"), "IPv6": ("fd00:10::10",)}
SOURCES: dict[Family, tuple[str, ...]] = {
    "IPv4": ("10.0.0.0/8", "192.168.7.1/32"),
    "IPv6": ("2001:db8::1/128", "fd00::/8"),
}
"""Ranges of allowed sources: a network and a single address."""
BRIDGES = (Route("10.244.3.0/24", bridged=True, device="cni0"), Route("fd00:244::/64", bridged=True, device="cni0"))


def build(family: Family, mappings: Iterable[PortMapping], routes: Routes = ()) -> NftTable:
    """The rules of one family for those of the mappings that are of it."""
    rows = [m for m in mappings if m.family == family]
    return lookup.build(rows, ADDRESSES[family], masquerade_sources(routes, {m.pod_ip for m in rows}), RANGE, family)


def built(*mappings: PortMapping) -> dict[Family, NftTable]:
    """The rules of both families."""
    return {family: build(family, mappings) for family in FAMILIES}


def frame_listing() -> str:
    """What nft lists of the table, without elements."""
    lines = [f"table {TABLE} {{", *(f"\t{line}" for line in frame()[""])]
    for place, body in frame().items():
        if place:
            lines += [f"\t{place} {{", *(f"\t\t{line}" for line in body), "\t}", ""]
    return "\n".join((*lines[:-1], "}", ""))


def read_back(tables: Iterable[NftTable]) -> dict[Family, NftTable]:
    """What is read where these tables of both families are in force."""
    lists = {name: raw_list(name, elements) for made in tables for name, elements in made.sets.items()}
    sets = {name: nftsets.parse(name, [listed]) for name, listed in lists.items()}
    assert not any(listed.foreign for listed in sets.values())
    return table.tables(table.frame_of(frame_listing()), {name: listed.elements for name, listed in sets.items()})


def found(*mappings: PortMapping) -> dict[Family, NftTable]:
    """What is read where the kernel has the rules of these mappings."""
    return read_back(built(*mappings).values())


# --- elements as the kernel lists them -------------------------------------------------------------------------------


def raw_list(name: str, elements: Elements) -> bytes:
    """The list of a set's elements in a message of the kernel."""
    return b"".join(attribute(1, raw_element(name, key, entry)) for key, entry in elements.items())


def raw_element(name: str, key: str, entry: Element = MEMBER, user_data: bytes | None = None) -> bytes:
    """One element of a set of that name. user_data: in place of the comment."""
    ends = [_ends(field) for field in key.split(" . ")]
    raw = attribute(nftsets.KEY, _value([first for first, _ in ends]))
    if name.startswith(("published", "bridged")) or name.endswith("sources"):
        raw += attribute(nftsets.KEY_END, _value([last for _, last in ends]))
    if entry == MEMBER:
        return raw
    raw += attribute(nftsets.DATA, _value([_ends(field)[0] for field in entry.to.split(" . ")]))
    comment = entry.comment.encode() + b"\0"
    own = bytes([nftsets.COMMENT, len(comment)]) + comment
    return raw + attribute(nftsets.USER_DATA, own if user_data is None else user_data)


def _value(fields: Sequence[bytes]) -> bytes:
    padded = [field + bytes(-len(field) % 4) for field in fields]
    return attribute(nftsets.VALUE, b"".join(padded) if len(fields) > 1 else fields[0])


def _ends(field: str) -> tuple[bytes, bytes]:
    """The first and the last value of a field: a port, a port range, an address or a network."""
    if field.replace("-", "").isdecimal():
        first, _, last = field.partition("-")
        return int(first).to_bytes(2, "big"), int(last or first).to_bytes(2, "big")
    network = ip_network(field)
    return network.network_address.packed, network.broadcast_address.packed
