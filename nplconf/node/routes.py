"""The node's routes, which tell the Pods on a bridge whose packets bypass conntrack.

They are read from /proc and /sys: `ip` would cost a child process in every run.
"""

import socket
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

from nplconf.model import Family
from nplconf.rules.masquerade import Route, Routes

_CALLS: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}
Bypassed = Callable[[str, Family], bool]
"""Returns whether the packets of a device bypass iptables."""
_LOCAL = 0x80000000
"""RTF_LOCAL: an IPv6 route to an address of the node itself."""


def read() -> Routes:
    """Return all routes except default and local ones. Routes that cannot be read are left out."""
    bypassed = cache(_bypassed)  # a cache for this call only: an administrator may change bridge-nf-call at any time
    return (*_ipv4(bypassed), *_ipv6(bypassed))


def _ipv4(bypassed: Bypassed) -> tuple[Route, ...]:
    found = []
    for line in _lines("/proc/net/route")[1:]:
        device, destination, gateway, *_, mask = line.split()[:8]
        length = int(mask, 16).bit_count()
        if length:
            address = socket.inet_ntoa(struct.pack("=I", int(destination, 16)))
            bridged = int(gateway, 16) == 0 and bypassed(device, "IPv4")
            found.append(Route(f"{address}/{length}", bridged, device))
    return tuple(found)


def _ipv6(bypassed: Bypassed) -> tuple[Route, ...]:
    found = []
    for line in _lines("/proc/net/ipv6_route"):
        destination, length, _, _, gateway, _, _, _, flags, device = line.split()
        if int(length, 16) and not int(flags, 16) & _LOCAL and not destination.startswith(("fe8", "ff")):
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(destination))
            bridged = int(gateway, 16) == 0 and bypassed(device, "IPv6")
            found.append(Route(f"{address}/{int(length, 16)}", bridged, device))
    return tuple(found)


def local_addresses() -> frozenset[str]:
    """Return every address of this node, of all devices."""
    found = set()
    last = ""
    for line in _lines("/proc/net/fib_trie"):
        word = line.strip()
        if word.startswith("|-- "):
            last = word[4:]
        elif word == "/32 host LOCAL":
            found.add(last)
    for line in _lines("/proc/net/if_inet6"):
        found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
    return frozenset(found)


def _bypassed(device: str, family: Family) -> bool:
    """Return whether a device is a bridge whose packets bypass iptables.

    They do if bridge-nf-call is off for the node and for the bridge.
    """
    bridge = Path("/sys/class/net", device, "bridge")
    if not bridge.is_dir():
        return False
    call = _CALLS[family]
    return not any(
        _on(path) for path in (Path(f"/proc/sys/net/bridge/bridge-nf-call-{call}"), bridge / f"nf_call_{call}")
    )


def _on(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
