"""Data planes that lead packets past netfilter, where rules of ours would be there and do nothing.

Two look-ups of an interface's name, 5 us each, tell the usual node that there is none: every run can afford them.
"""

import re
import socket
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import BadConfigError

CALICO_DEVICE = "bpfin.cali"
"""Felix makes it in eBPF mode alone, and removes it with that mode."""
CILIUM_DEVICE = "cilium_host"
CILIUM_STATE = Path("/run/cilium/state")
_LEGACY = re.compile(r'"EnableHostLegacyRouting"\s*:\s*(true|false)')
"""In what the agent writes down of its options, once it has decided what the kernel can do."""
_HOST_ROUTING = re.compile(r"^#define\s+ENABLE_HOST_ROUTING\b", re.MULTILINE)
"""In the header that its programs are compiled with."""


class Datapath(NamedTuple):
    """What was found. bypasses: None where it cannot be told."""

    name: str
    bypasses: bool | None


def found(cilium_state: Path = CILIUM_STATE) -> Datapath | None:
    """The data plane of this network namespace, where it is one that can bypass netfilter."""
    if _exists(CALICO_DEVICE):
        return Datapath("Calico's eBPF data plane", bypasses=True)
    if _exists(CILIUM_DEVICE):
        return Datapath("Cilium's eBPF host routing", _cilium_bypasses(cilium_state))
    return None


def refuse_bypass() -> None:
    """Raises BadConfigError where packets would never see our rules."""
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
