"""nft's listing of a table, made from values without a kernel."""

from collections.abc import Iterable

from worlds import RANGE

from nplconf.model import FAMILIES, Family, PortMapping
from nplconf.rules.masquerade import Routes, masquerade_sources
from nplconf.rules.nftables import lookup
from nplconf.rules.nftables.element import to_text
from nplconf.rules.nftables.frame import TABLE, frame
from nplconf.rules.nftables.table import NftTable, read

ADDRESSES: dict[Family, tuple[str, ...]] = {"IPv4": ("10.10.10.10", "10.0.0.1"), "IPv6": ("fd00:10::10",)}


def build(family: Family, mappings: Iterable[PortMapping], routes: Routes = ()) -> NftTable:
    """The rules of one family for those of the mappings that are of it."""
    rows = [m for m in mappings if m.family == family]
    return lookup.build(rows, ADDRESSES[family], masquerade_sources(routes, {m.pod_ip for m in rows}), RANGE, family)


def built(*mappings: PortMapping) -> dict[Family, NftTable]:
    """The rules of both families."""
    return {family: build(family, mappings) for family in FAMILIES}


def listing(tables: Iterable[NftTable]) -> str:
    """What nft lists where these tables of both families are in force."""
    sets = {name: elements for table in tables for name, elements in table.sets.items()}
    lines = [f"table {TABLE} {{", *(f"\t{line}" for line in frame()[""])]
    for place, body in frame().items():
        if not place:
            continue
        lines += [f"\t{place} {{", *(f"\t\t{line}" for line in body)]
        if elements := sets.get(place.split()[1]):
            listed = ",\n\t\t\t     ".join(to_text(key, entry) for key, entry in elements.items())
            lines.append(f"\t\telements = {{ {listed} }}")
        lines += ["\t}", ""]
    return "\n".join((*lines[:-1], "}", ""))


def found(*mappings: PortMapping) -> dict[Family, NftTable]:
    """What is read where the kernel has the rules of these mappings."""
    return read(listing(built(*mappings).values()))
