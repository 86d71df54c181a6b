"""Facts from the kernel: capabilities of this process, sysctls, routes."""

import contextlib
from pathlib import Path

from nplconf.doctor.facts import Facts
from nplconf.errors import NplconfError
from nplconf.node import command

SYS = Path("/proc/sys/net")
DEADLINE = 20.0
"""Seconds for one child process."""
BITS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}


def missing_capabilities(_facts: Facts) -> frozenset[str]:
    """Return what this process lacks to read and write rules."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return frozenset(name for name, bit in BITS.items() if not effective >> bit & 1)


def sysctl(name: str) -> str:
    """Return a value below /proc/sys/net; "" where there is none (no IPv6)."""
    try:
        return (SYS / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def device_of_route(*words: str) -> str:
    """Return the device of the first route that `ip` prints; "" where it prints none."""
    with contextlib.suppress(NplconfError):
        printed = command.run("ip", *words, deadline=DEADLINE).text.split()
        return printed[printed.index("dev") + 1] if "dev" in printed[:-1] else ""
    return ""
