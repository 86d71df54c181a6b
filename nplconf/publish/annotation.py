"""The Pod annotation: mappings to text, and back. Any tenant can write it, so only well-formed entries are read."""

import json
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

from nplconf.model import FAMILIES, PROTOCOLS, Family, Pod, PortMapping, Protocol


class Entry(NamedTuple):
    """One published mapping. Entries sort in the annotation's order: podPort, IPv4 before IPv6, sctp, tcp, udp."""

    pod_port: int
    family: Family
    protocol: Protocol
    node_ip: str
    node_port: int


class Form(NamedTuple):
    """How annotations are written.

    Attributes:
        merged: All protocols of one podPort become one entry. AKO and F5 would create the same pool member twice from
            two.
        empty: An annotation without entries is `[]`. If the key is removed, AKO ignores the Pod and keeps its
            members.
        families: The IP families that are published.
    """

    merged: bool = True
    empty: bool = True
    families: tuple[Family, ...] = FAMILIES


DEFAULT = Form()


def entry(mapping: PortMapping) -> Entry:
    """Return the entry of a mapping."""
    node_port, protocol, family, node_ip, _, _, pod_port, _, _, _ = mapping
    return Entry(pod_port, family, protocol, node_ip, node_port)


def entries(mappings: Iterable[PortMapping]) -> tuple[Entry, ...]:
    """Return the sorted entries of a Pod's mappings."""
    return tuple(sorted(map(entry, mappings)))


def published(mappings: Iterable[PortMapping], form: Form) -> tuple[Entry, ...]:
    """Return the sorted entries of a Pod's mappings in the families of the form."""
    return entries([mapping for mapping in mappings if mapping.family in form.families])


def render(found: Iterable[Entry], form: Form = DEFAULT) -> str:
    """Return the annotation as compact JSON. found: sorted entries."""
    entries_of_pod = tuple(found)
    if len(entries_of_pod) == 1:  # as of most Pods
        return f"[{_row(entries_of_pod[0], protocols='')}]"
    return f"[{','.join(_rows(entries_of_pod, merged=form.merged))}]"


def text(found: Iterable[Entry], now: str | None, form: Form = DEFAULT) -> str | None:
    """Return the annotation that a Pod must have; None for no key.

    Args:
        found: Sorted entries.
        now: The current annotation. For an empty list, a Pod without the key gets none.
        form: How it is written.
    """
    entries_of_pod = tuple(found)
    if entries_of_pod or (form.empty and now is not None):
        return render(entries_of_pod, form)
    return None


def canonical(value: str) -> bool:
    """Return whether a text is an annotation as nplconf writes it, in one of its forms."""
    found = parse(value)
    return any(render(found, Form(merged=merged)) == value for merged in (True, False))


def _rows(found: tuple[Entry, ...], *, merged: bool) -> Iterator[str]:
    there = set(found) if merged else set()
    used = {one.protocol for one in found}
    known = [protocol for protocol in PROTOCOLS if protocol in used]
    for one in found:
        together = [p for p in known if p == one.protocol or one._replace(protocol=p) in there]
        if one.protocol == together[0]:
            yield _row(one, protocols=_LISTED.get(tuple(together), ""))


def _row(e: Entry, protocols: str) -> str:
    pod_port, family, protocol, node_ip, node_port = e
    return (
        f'{{"podPort":{pod_port},"nodeIP":{_quoted(node_ip)},"nodePort":{node_port},'
        f'"protocol":"{protocol}","ipFamily":"{family}"{protocols}}}'
    )


_LISTED = {
    together: f',"protocols":{json.dumps(together, separators=(",", ":"))}'
    for size in (2, 3)
    for together in combinations(PROTOCOLS, size)
}
"""The last key of an entry for several protocols."""
_quoted = cache(json.dumps)
"""Cached: there are at most two addresses in ten thousand entries."""


def digest(value: str | None) -> str:
    """Return a short checksum of an annotation; "" for None."""
    return f"{zlib.crc32(value.encode('utf-8', 'surrogatepass')):08x}" if value is not None else ""


def parse(value: str | None) -> tuple[Entry, ...]:
    """Return the well-formed entries of an annotation, in its order, one per protocol. Others are ignored.

    Antrea before 2.0 wrote no `ipFamily` (IPv4 only), and at first `protocols` instead of `protocol`. So both have a
    default here.
    """
    if not value:
        return ()
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return ()
    return tuple(e for row in (rows if isinstance(rows, list) else ()) for e in _entries(row))


def on_pods(mappings: Iterable[PortMapping], pods: Iterable[Pod]) -> frozenset[PortMapping]:
    """Return the mappings that the annotations of these Pods list."""
    known = {(pod.ref, e) for pod in pods for e in parse(pod.annotation)}
    return frozenset(m for m in mappings if (m.pod, entry(m)) in known)


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
    """Return the protocols of an entry: `protocols` if it exists, else `protocol`, else TCP."""
    listed = row.get("protocols")
    found = listed if isinstance(listed, list) else [row.get("protocol", "tcp")]
    return tuple(protocol for protocol in PROTOCOLS if protocol in found)
