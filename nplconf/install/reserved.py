"""net.ipv4.ip_local_reserved_ports: the numbers that the kernel gives to no outgoing connection.

The sysctl is one list for everybody. What the administrator has in it is kept: our range is added to it at every boot,
and taken out again when nplconf goes. A record beside it tells the two apart. What the administrator changed since is
his newer word, our range apart where he left it as it was; a list without it is all his.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import PermissionDeniedError
from nplconf.model import PortRange

SYSCTL = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
RECORD = Path("/run/nplconf/reserved-ports.json")
"""{"administrator": ..., "range": ...}, both as the kernel prints them; a reboot ends both it and the value."""


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


def reserve(port_range: PortRange, sysctl: Path = SYSCTL, record: Path = RECORD) -> None:
    """Add the range to what the administrator reserved; a range that was added before and is another now, goes.

    Raises PermissionDeniedError where the sysctl or the record cannot be written.
    """
    with _named(sysctl):
        administrator = _administrators(parse(sysctl.read_text()), _recorded(record))
        # recorded first: between the two writes the sysctl is the administrator's still
        _remember(record, Known(administrator, port_range))
        sysctl.write_text(text((*administrator, port_range)) + "\n")


def release(port_range: PortRange, sysctl: Path = SYSCTL, record: Path = RECORD) -> None:
    """Take the range out, but for what the administrator had reserved of it. PermissionDeniedError as above.

    Without a record nothing was added; where it is damaged, `port_range` was.
    """
    if not record.exists():
        return
    with _named(sysctl):
        known = _recorded(record) or Known((), port_range)
        sysctl.write_text(text(_administrators(parse(sysctl.read_text()), known)) + "\n")
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
    new = record.with_suffix(".new")
    new.write_text(json.dumps({"administrator": text(known.administrator), "range": str(known.added)}))
    new.replace(record)
