"""Find the processes that have taken ports of the range, as far as /proc shows them.

The hold daemon does not do this. It would need the right to look into processes of other users, and a scan of
/proc/PID/fd takes 0.1 s on a busy node. So the command that shows the names does it, for the ports that it shows. A TCP
socket that is bound and does not listen is in no table of /proc: its process stays unknown.
"""

# ruff: noqa: PTH115, PTH123, PTH208 -- many thousands of paths in /proc, as strings for speed

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from nplconf.model import Holds, Protocol, Taken

TABLES: Mapping[Protocol, tuple[str, ...]] = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6"), "sctp": ()}
"""The files below /proc/self/net that list sockets of a protocol. Those of SCTP have another form and are not read."""
LISTEN = "0A"
CLOSING = "a closed connection (TIME_WAIT)"


def named(holds: Holds, numbers: Collection[int], deadline: float = 0.5) -> Holds:
    """Return `holds` with `by` ("nginx[812]") filled in for taken ports, where the process is found.

    Args:
        holds: What the hold daemon answered.
        numbers: The ports to look up.
        deadline: Seconds for the scan of /proc. A process that is not found by then stays None.
    """
    wanted = [taken for taken in holds.taken if taken.by is None and taken.number in numbers]
    if not wanted:
        return holds
    inodes = _inodes(wanted)
    names = _names(set(inodes.values()), time.monotonic() + deadline)
    return replace(holds, taken=tuple(_with_name(taken, inodes, names) for taken in holds.taken))


def listening(numbers: Collection[int], deadline: float = 0.5) -> tuple[str, ...]:
    """Return the TCP sockets that listen on these ports, as "tcp/61002 (nginx[812])", sorted.

    Args:
        numbers: The ports.
        deadline: Seconds for the scan of /proc. A process that is not found by then is "an unknown process".
    """
    found = {number: inode for number, state, inode in _sockets("tcp") if number in numbers and state == LISTEN}
    names = _names(set(found.values()), time.monotonic() + deadline) if found else {}
    return tuple(f"tcp/{number} ({names.get(found[number], 'an unknown process')})" for number in sorted(found))


def _with_name(taken: Taken, inodes: Mapping[tuple[int, str], str], names: Mapping[str, str]) -> Taken:
    inode = inodes.get((taken.number, taken.protocol))
    return taken if taken.by or inode is None else replace(taken, by=names.get(inode))


def _inodes(wanted: Collection[Taken]) -> dict[tuple[int, str], str]:
    """Return the inode of the socket on each (port, protocol): a listening one first, "0" for TIME_WAIT."""
    found: dict[tuple[int, str], tuple[bool, int]] = {}
    for protocol in {taken.protocol for taken in wanted}:
        numbers = {taken.number for taken in wanted if taken.protocol == protocol}
        for number, state, inode in _sockets(protocol):
            if number in numbers:
                rank = (state == LISTEN, int(inode))
                found[number, protocol] = max(rank, found.get((number, protocol), rank))
    return {key: str(inode) for key, (_, inode) in found.items()}


def _sockets(protocol: Protocol) -> Iterator[tuple[int, str, str]]:
    """Yield (local port, state, inode) of every socket of the protocol in this network namespace."""
    for name in TABLES[protocol]:
        with contextlib.suppress(OSError), open(f"/proc/self/net/{name}", encoding="ascii") as table:
            next(table)
            for line in table:
                fields = line.split(None, 10)
                yield int(fields[1].rpartition(":")[2], 16), fields[3], fields[9]


def _names(inodes: set[str], until: float) -> dict[str, str]:
    """Return command and PID ("nginx[812]") by inode, of the first process that has the socket open."""
    names = {"0": CLOSING}
    wanted = {f"socket:[{inode}]": inode for inode in inodes - {"0"}}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if not wanted or time.monotonic() > until:
            break
        for link in _links(pid):
            if inode := wanted.pop(link, None):
                names[inode] = f"{_command(pid)}[{pid}]"
    return names


def _links(pid: str) -> Iterator[str]:
    """Yield the targets of a process's open files, as far as this process may read them."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{fd}")


def _command(pid: str) -> str:
    """Return the name that a process chose for itself. Characters that act on a terminal are replaced."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as comm:
            name = comm.read(64).decode("utf-8", "replace").rstrip("\n")
    except OSError:
        return "?"
    return "".join(letter if letter.isprintable() else "?" for letter in name)
