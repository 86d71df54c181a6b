"""net.ipv4.ip_local_reserved_ports: the ports that the kernel does not use for outgoing connections.

All programs share this one list. Ports that the administrator reserved stay in it: nplconf adds its range at every boot
and removes it when it is uninstalled. A record beside the list tells the two apart. Later changes of the administrator
are respected; a list that does not contain the range is taken as the administrator's alone.

The kernel returns the list to the first read of an open file and nothing to the next ones: whatever does not fit into
the first buffer is lost. With Python's buffer of 8 KiB a list of 189,041 characters lost all but 1,635 ports. It is
therefore read in one call, and compared with what was written.
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
"""{"administrator": ..., "range": ...}, both as the kernel prints them; a reboot ends both it and the value."""
_LONGEST = 2**18
"""Bytes. The longest list, every second port, has 192 KiB."""


def parse(text: str) -> tuple[PortRange, ...]:
    """The kernel's text ("8080,9000-9010", possibly empty) as ranges, ascending."""
    words = (word.partition("-") for word in text.strip().split(",") if word)
    return tuple(PortRange(int(first), int(last or first)) for first, _, last in words)


def text(ranges: Iterable[PortRange]) -> str:
    """Ranges as the kernel prints them: ascending, none touching the next."""
    merged: list[PortRange] = []
    for one in sorted(ranges, key=lambda found: found.first):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return ",".join(str(one.first) if one.first == one.last else str(one) for one in merged)


def without(ranges: Sequence[PortRange], gone: PortRange) -> tuple[PortRange, ...]:
    """The ranges less the numbers of `gone`."""
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
    """Replace the list and compare; when the kernel has another list then, restore the one from before.

    Raises OSError, PermissionDeniedError.
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
    """Add the range to what the administrator reserved; a range that was added before and is another now, goes.

    Raises PermissionDeniedError where the sysctl or the record cannot be written.
    """
    with _named(sysctl):
        administrator = _administrators(read(sysctl), _recorded(record))
        # The record comes first: between the two writes the list still belongs to the administrator alone.
        _remember(record, Known(administrator, port_range))
        _write(sysctl, (*administrator, port_range))


def release(port_range: PortRange, sysctl: Path = SYSCTL, record: Path = RECORD) -> None:
    """Take the range out, but for what the administrator had reserved of it. PermissionDeniedError as above.

    Without a record nothing was added; where it is damaged, `port_range` was.
    """
    if not record.exists():
        return
    with _named(sysctl):
        known = _recorded(record) or Known((), port_range)
        _write(sysctl, _administrators(read(sysctl), known))
        record.unlink(missing_ok=True)


@contextmanager
def _named(sysctl: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermissionDeniedError(f"{sysctl}: the port range cannot be reserved: {error.strerror}") from error


class Known(NamedTuple):
    """What was there before us, and what we added."""

    administrator: tuple[PortRange, ...]
    added: PortRange


def _administrators(now: Sequence[PortRange], known: Known | None) -> tuple[PortRange, ...]:
    """What of the list is the administrator's."""
    if known is None or not _has_ours(now, known):
        return tuple(now)
    return (*without(now, known.added), *_both(known.administrator, known.added))


def _has_ours(now: Sequence[PortRange], known: Known) -> bool:
    """Whether the list was made from ours: our range is in it as we wrote it, alone or joined to its neighbours."""
    written = parse(text((*known.administrator, known.added)))
    return any(known.added.first in span and span in now for span in written)


def _both(some: Sequence[PortRange], other: PortRange) -> list[PortRange]:
    """The numbers of `some` that are in `other`."""
    cut = (PortRange(max(one.first, other.first), min(one.last, other.last)) for one in some)
    return [one for one in cut if one.first <= one.last]


def _recorded(record: Path) -> Known | None:
    """What was written last, None when there is no record that can be understood."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = json.loads(record.read_text())
        (added,) = parse(found["range"])
        return Known(parse(found["administrator"]), added)
    return None


def _remember(record: Path, known: Known) -> None:
    record.parent.mkdir(mode=0o755, exist_ok=True)
    data = json.dumps({"administrator": text(known.administrator), "range": str(known.added)})
    writing.put(record, data.encode(), 0o644)
