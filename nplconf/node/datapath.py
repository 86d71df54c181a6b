"""Data planes that bypass netfilter. On them the rules of nplconf would exist and have no effect.

On other nodes the check costs two look-ups of an interface name, 5 us each, so every run can afford it.
"""

import re
import socket
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import BadConfigError

CALICO_DEVICE = "bpfin.cali"
"""Felix creates this device in eBPF mode only, and removes it when it leaves that mode."""
CILIUM_DEVICE = "cilium_host"
CILIUM_STATE = Path("/run/cilium/state")
_LEGACY = re.compile(r'"EnableHostLegacyRouting"\s*:\s*(true|false)')
"""In the options file that the Cilium agent writes once it knows what the kernel supports."""
_HOST_ROUTING = re.compile(r"^#define\s+ENABLE_HOST_ROUTING\b", re.MULTILINE)
"""In the header that Cilium's programs are compiled with."""


class Datapath(NamedTuple):
    """A data plane. bypasses: whether it bypasses netfilter; None if unknown."""

    name: str
    bypasses: bool | None


def found(cilium_state: Path = CILIUM_STATE) -> Datapath | None:
    """Return the data plane of this network namespace if it is one that can bypass netfilter; otherwise None."""
    if _exists(CALICO_DEVICE):
        return Datapath("Calico's eBPF data plane", bypasses=True)
    if _exists(CILIUM_DEVICE):
        return Datapath("Cilium's eBPF host routing", _cilium_bypasses(cilium_state))
    return None


def refuse_bypass() -> None:
    """Check that packets pass netfilter.

    Raises:
        BadConfigError: A data plane bypasses netfilter, so rules would have no effect.
    """
    datapath = found()
    if datapath and datapath.bypasses:
        raise BadConfigError(f"{datapath.name} leads packets past netfilter: rules would do nothing (--force: go on)")


def _exists(device: str) -> bool:
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


def _cilium_bypasses(state: Path) -> bool | None:
    decided = _LEGACY.search(_text(state / "agent-runtime-config.json"))
    if decided:
        return decided[1] == "false"
    header = _text(state / "globals" / "node_config.h")
    return bool(_HOST_ROUTING.search(header)) if header else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
