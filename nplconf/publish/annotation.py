"""The Pod annotation: mappings -> text, and back with the distrust that a text which any tenant can write deserves."""

import json
import zlib
from collections.abc import Iterable
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


def entry(mapping: PortMapping) -> Entry:
    """What is published of a mapping."""
    return Entry(mapping.pod_port, mapping.family, mapping.protocol, mapping.node_ip, mapping.node_port)


def entries(mappings: Iterable[PortMapping]) -> tuple[Entry, ...]:
    """What is published of a Pod's mappings, sorted."""
    return tuple(sorted(map(entry, mappings)))


def render(published: Iterable[Entry]) -> str | None:
    """The annotation's value as compact JSON; None, no annotation at all, when there is nothing to publish."""
    rows = ",".join(
        f'{{"podPort":{e.pod_port},"nodeIP":{_quoted(e.node_ip)},"nodePort":{e.node_port},'
        f'"protocol":"{e.protocol}","ipFamily":"{e.family}"}}'
        for e in published
    )
    return f"[{rows}]" if rows else None


_quoted = cache(json.dumps)
"""There are two addresses at most, and ten thousand entries."""


def digest(text: str | None) -> str:
    """Return a short word that is another one for another annotation; "" for none."""
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}" if text is not None else ""


def parse(text: str | None) -> tuple[Entry, ...]:
    """The well-formed entries of an annotation, in its order; whatever else it holds is passed over.

    Antrea wrote neither `ipFamily` (before 2.0 there was IPv4 alone) nor, at first, `protocol` but `protocols`, so both
    have a default here.
    """
    if not text:
        return ()
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(e for row in (rows if isinstance(rows, list) else ()) if (e := _entry(row)))


def _entry(row: Any) -> Entry | None:
    if not isinstance(row, dict):
        return None
    pod_port, node_port, node_ip = row.get("podPort"), row.get("nodePort"), row.get("nodeIP")
    family, protocol = row.get("ipFamily", "IPv4"), row.get("protocol", "tcp")
    if type(pod_port) is not int or type(node_port) is not int or not isinstance(node_ip, str):
        return None
    if family not in FAMILIES or protocol not in PROTOCOLS:
        return None
    return Entry(pod_port, family, protocol, node_ip, node_port)
