"""net.ipv4.ip_local_reserved_ports: the ports that the kernel does not use for outgoing connections.

All programs share this list. Ports that the administrator reserved stay in it. nplconf adds its range at every boot and
removes it when it is uninstalled. A record beside the list stores which ports are the administrator's. Later changes of
the administrator stay; a list without the range counts as the administrator's alone.

The kernel returns the list to the first read of an open file and nothing to the next ones, so everything beyond the
first buffer is lost. With Python's buffer of 8 KiB a list of 189,041 characters lost all but 1,635 ports. It is
therefore read in one call, and compared with the written text.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import PermissionDeniedError
from nplconf.files import writing
from nplconf.model import PortRange

SYSCTL = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
RECORD = Path("/run/nplconf/reserved-ports.json")
"""{"administrator": ..., "range": ...}, both in the kernel's format. A reboot ends both the record and the list."""
_LONGEST = 2**18
"""Bytes. The longest list, every second port, has 192 KiB."""


def parse(text: str) -> tuple[PortRange, ...]:
    """Return the kernel's text ("8080,9000-9010", possibly empty) as ranges, ascending."""
    words = (word.partition("-") for word in text.strip().split(",") if word)
    return tuple(PortRange(int(first), int(last or first)) for first, _, last in words)


def text(ranges: Iterable[PortRange]) -> str:
    """Return ranges in the kernel's format: ascending, adjacent ones joined."""
    merged: list[PortRange] = []
    for one in sorted(ranges, key=lambda found: found.first):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return ",".join(str(one.first) if one.first == one.last else str(one) for one in merged)


def without(ranges: Sequence[PortRange], gone: PortRange) -> tuple[PortRange, ...]:
    """Return the ranges without the ports of `gone`."""
    below = [PortRange(one.first, min(one.last, gone.first - 1)) for one in ranges]
    above = [PortRange(max(one.first, gone.last + 1), one.last) for one in ranges]
    return tuple(one for one in (*below, *above) if one.first <= one.last)


def read(sysctl: Path = SYSCTL) -> tuple[PortRange, ...]:
    """Return the reserved ports, ascending. Raises OSError."""
    return parse(_read(sysctl))


def _read(sysctl: Path) -> str:
    handle = os.open(sysctl, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, _LONGEST).decode("ascii")
    finally:
        os.close(handle)


def _write(sysctl: Path, ranges: Iterable[PortRange]) -> None:
    """Write the list and compare. If the kernel then has another list, restore the old one.

    Raises:
        OSError: The kernel did not accept the list.
        PermissionDeniedError: The process may not write it.
    """
    before, wanted = _read(sysctl), text(ranges)
    try:
        sysctl.write_text(f"{wanted}\n")
        if text(read(sysctl)) == wanted:
            return
    except OSError:
        sysctl.write_text(before)
        raise
    sysctl.write_text(before)
    raise PermissionDeniedError(f"{sysctl}: the kernel did not take the list as written; it is as before")


def reserve(port_range: PortRange, sysctl: Path = SYSCTL, record: Path = RECORD) -> None:
    """Add the range to the administrator's ports, and remove a range that was added before.

    Raises:
        PermissionDeniedError: The sysctl or the record cannot be written.
    """
    with _named(sysctl):
        administrator = _of_administrator(read(sysctl), _recorded(record))
        # The record is written first: between the two writes the list is still the administrator's alone.
        _write_record(record, Record(administrator, port_range))
        _write(sysctl, (*administrator, port_range))


def release(port_range: PortRange, sysctl: Path = SYSCTL, record: Path = RECORD) -> None:
    """Remove the range, except for the administrator's ports in it.

    Without a record nothing was added. If the record is damaged, `port_range` is taken as the added range.

    Raises:
        PermissionDeniedError: The sysctl or the record cannot be written.
    """
    if not record.exists():
        return
    with _named(sysctl):
        recorded = _recorded(record) or Record((), port_range)
        _write(sysctl, _of_administrator(read(sysctl), recorded))
        record.unlink(missing_ok=True)


@contextmanager
def _named(sysctl: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermissionDeniedError(f"{sysctl}: the port range cannot be reserved: {error.strerror}") from error


class Record(NamedTuple):
    """The administrator's ports, and the range that nplconf added."""

    administrator: tuple[PortRange, ...]
    added: PortRange


def _of_administrator(now: Sequence[PortRange], recorded: Record | None) -> tuple[PortRange, ...]:
    """Return the part of the list that is the administrator's."""
    if recorded is None or not _has_added(now, recorded):
        return tuple(now)
    return (*without(now, recorded.added), *_both(recorded.administrator, recorded.added))


def _has_added(now: Sequence[PortRange], recorded: Record) -> bool:
    """Return whether the list contains the added range as written, alone or joined to adjacent ports."""
    written = parse(text((*recorded.administrator, recorded.added)))
    return any(recorded.added.first in span and span in now for span in written)


def _both(some: Sequence[PortRange], other: PortRange) -> list[PortRange]:
    """Return the ports of `some` that are in `other`."""
    cut = (PortRange(max(one.first, other.first), min(one.last, other.last)) for one in some)
    return [one for one in cut if one.first <= one.last]


def _recorded(record: Path) -> Record | None:
    """Return the record; None if it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = json.loads(record.read_text())
        (added,) = parse(found["range"])
        return Record(parse(found["administrator"]), added)
    return None


def _write_record(record: Path, recorded: Record) -> None:
    record.parent.mkdir(mode=0o755, exist_ok=True)
    data = json.dumps({"administrator": text(recorded.administrator), "range": str(recorded.added)})
    writing.put(record, data.encode(), 0o644)
