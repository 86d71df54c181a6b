"""The Pod annotation: mappings to text, and back. Any tenant can write one, so only well-formed entries are read."""

import json
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from nplconf.model import FAMILIES, PROTOCOLS, Family, PortMapping, Protocol


class Entry(NamedTuple):
    """One published mapping. Sorts in the annotation's order: podPort, IPv4 before IPv6, tcp before udp."""

    pod_port: int
    family: Family
    protocol: Protocol
    node_ip: str
    node_port: int


class Form(NamedTuple):
    """How annotations are written.

    Attributes:
        merged: TCP and UDP of one podPort are one entry, as AKO and F5 would make the same pool member twice of two.
        empty: An annotation without an entry is `[]`. AKO ignores a Pod whose key was removed, and keeps its members.
        families: The IP families that are published.

    """

    merged: bool = True
    empty: bool = True
    families: tuple[Family, ...] = FAMILIES


DEFAULT = Form()


def entry(mapping: PortMapping) -> Entry:
    """What is published of a mapping."""
    return Entry(mapping.pod_port, mapping.family, mapping.protocol, mapping.node_ip, mapping.node_port)


def entries(mappings: Iterable[PortMapping]) -> tuple[Entry, ...]:
    """What is published of a Pod's mappings, sorted."""
    return tuple(sorted(map(entry, mappings)))


def published(mappings: Iterable[PortMapping], form: Form) -> tuple[Entry, ...]:
    """Return what is published of a Pod's mappings, sorted: those of the families that the form has."""
    return entries(mapping for mapping in mappings if mapping.family in form.families)


def render(found: Iterable[Entry], form: Form = DEFAULT) -> str:
    """Return the annotation's value as compact JSON. found: sorted entries."""
    return f"[{','.join(_rows(tuple(found), merged=form.merged))}]"


def text(found: Iterable[Entry], now: str | None, form: Form = DEFAULT) -> str | None:
    """Return the annotation that a Pod is to have; None for no key.

    Args:
        found: Sorted entries.
        now: The annotation as it is. A Pod that never had the key gets none for an empty list.
        form: How it is written.

    """
    entries_of_pod = tuple(found)
    if entries_of_pod or (form.empty and now is not None):
        return render(entries_of_pod, form)
    return None


def canonical(value: str) -> bool:
    """Whether an annotation is text that nplconf writes, in one of its forms."""
    found = parse(value)
    return any(render(found, Form(merged=merged)) == value for merged in (True, False))


def _rows(found: tuple[Entry, ...], *, merged: bool) -> Iterator[str]:
    there = set(found) if merged else set()
    for one in found:
        twin = one._replace(protocol="udp" if one.protocol == "tcp" else "tcp") in there
        if one.protocol == "tcp" or not twin:
            yield _row(one, protocols=',"protocols":["tcp","udp"]' if twin else "")


def _row(e: Entry, protocols: str) -> str:
    return (
        f'{{"podPort":{e.pod_port},"nodeIP":{_quoted(e.node_ip)},"nodePort":{e.node_port},'
        f'"protocol":"{e.protocol}","ipFamily":"{e.family}"{protocols}}}'
    )


_quoted = cache(json.dumps)
"""There are two addresses at most, and ten thousand entries."""


def digest(value: str | None) -> str:
    """Return a short word that is another one for another annotation; "" for none."""
    return f"{zlib.crc32(value.encode('utf-8', 'surrogatepass')):08x}" if value is not None else ""


def parse(value: str | None) -> tuple[Entry, ...]:
    """Return the well-formed entries of an annotation, in its order, one for each protocol; the rest is passed over.

    Antrea wrote neither `ipFamily` (before 2.0 there was IPv4 alone) nor, at first, `protocol` but `protocols`, so both
    have a default here.
    """
    if not value:
        return ()
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return ()
    return tuple(e for row in (rows if isinstance(rows, list) else ()) for e in _entries(row))


def _entries(row: Any) -> Iterator[Entry]:
    if not isinstance(row, dict):
        return
    pod_port, node_port, node_ip = row.get("podPort"), row.get("nodePort"), row.get("nodeIP")
    family, protocols = row.get("ipFamily", "IPv4"), _protocols(row)
    if type(pod_port) is not int or type(node_port) is not int or not isinstance(node_ip, str):
        return
    if family not in FAMILIES:
        return
    for protocol in protocols:
        yield Entry(pod_port, family, protocol, node_ip, node_port)


def _protocols(row: dict[str, Any]) -> tuple[Protocol, ...]:
    """Return the protocols of an entry: `protocols` where there is one, else `protocol`, else TCP."""
    listed = row.get("protocols")
    found = listed if isinstance(listed, list) else [row.get("protocol", "tcp")]
    return tuple(protocol for protocol in PROTOCOLS if protocol in found)
