"""Antrea's NodePortLocal on this machine: its agent, the agent's sockets, and the chain that it leaves behind.

Any Pod can give a process the agent's name. Therefore a process counts only in the network namespace of nplconf. If an
Antrea chain exists, a process of root in another namespace counts too. An agent does not count if its configuration
file switches NodePortLocal off; it may be the CNI of this node.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

from nplconf.errors import NplconfError
from nplconf.model import FAMILIES, Failure, Family, IptablesKind
from nplconf.node import backend, command, iptables, libnftables, owners
from nplconf.rules.antrea import AGENT, BASES, CHAIN, Antrea, AntreaChain, read

CONFIG = "etc/antrea/antrea-agent.conf"
"""The agent's configuration file, as a path in the agent's file system."""
CONFIG_LIMIT = 1 << 20
DEADLINE = 10.0
"""Seconds for one call of iptables."""


def found() -> Antrea:
    """Return what exists of Antrea. Never raises: what cannot be read counts as missing."""
    left = chains()
    return Antrea(agents(beside_chain=bool(left)), sockets(left), left)


# --- the agent -------------------------------------------------------------------------------------------------------


def agents(*, beside_chain: bool) -> tuple[str, ...]:
    """Return the agents that count, each as "antrea-agent[PID]".

    Args:
        beside_chain: An Antrea chain exists on this node.
    """
    pids = [pid for pid in os.listdir("/proc") if pid.isdecimal() and _is_agent(pid)]  # noqa: PTH208 - in every run
    return tuple(f"{AGENT}[{pid}]" for pid in pids if _counts(pid, beside_chain=beside_chain) and _serves_ports(pid))


def _counts(pid: str, *, beside_chain: bool) -> bool:
    here = _namespace("self")
    if here and _namespace(pid) == here:
        return True
    try:
        return beside_chain and os.stat(f"/proc/{pid}").st_uid == 0  # noqa: PTH116
    except OSError:
        return False


def _is_agent(pid: str) -> bool:
    try:
        handle = os.open(f"/proc/{pid}/comm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(handle, 64) == f"{AGENT}\n".encode()
    except OSError:
        return False
    finally:
        os.close(handle)


def _namespace(pid: str) -> str:
    """Return the network namespace of a process; "" if it cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 - a text, not a path
    except OSError:
        return ""


def _serves_ports(pid: str) -> bool:
    """Return whether NodePortLocal is on in an agent's configuration. True if the file cannot be read."""
    import yaml  # late import: only needed if an agent runs

    try:
        config = yaml.safe_load(_text(f"/proc/{pid}/root/{CONFIG}"))
        wanted = (config.get("nodePortLocal") or {}).get("enable")
        gate = (config.get("featureGates") or {}).get("NodePortLocal")
    except (OSError, AttributeError, ValueError, yaml.YAMLError):
        return True
    # before Antrea 1.4 only the feature gate existed
    return gate is True if wanted is None else wanted is not False


def _text(path: str) -> bytes:
    """Return the beginning of a file. O_NONBLOCK: a FIFO without a writer must not block. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(handle, CONFIG_LIMIT)
    finally:
        os.close(handle)


def sockets(left: Iterable[AntreaChain]) -> tuple[str, ...]:
    """Return the TCP sockets that listen on ports of these chains, each with its process.

    UDP sockets are left out: those of the hold daemon look the same.
    """
    numbers = {rule.number for chain in left for rule in chain.rules if rule.protocol == "tcp"}
    return owners.listening(numbers) if numbers else ()


# --- the chain -------------------------------------------------------------------------------------------------------


def chains() -> tuple[AntreaChain, ...]:
    """Return the Antrea chain of each installed iptables and family, where it exists."""
    places = ((kind, family) for kind in backend.installed() for family in FAMILIES)
    return tuple(chain for place in places if (chain := _chain(*place)))


def _chain(kind: IptablesKind, family: Family) -> AntreaChain | None:
    with contextlib.suppress(NplconfError):
        if _may_be_there(kind, family):
            question = "\n".join(("*nat", *(f"-S {name}" for name in (CHAIN, *BASES)), "COMMIT", ""))
            restore = backend.program(family, kind, "restore")
            done = command.run(restore, "--noflush", text=question, deadline=DEADLINE)
            return read(kind, family, done.text) if done.code == 0 else None
    return None


def _may_be_there(kind: IptablesKind, family: Family) -> bool:
    """Return False if the chain certainly does not exist, so that no child process is needed."""
    if kind == "legacy":
        return backend.legacy_has("nat", family)
    names = libnftables.chains(family, "nat")
    return names is None or CHAIN in names


def remove(left: Iterable[AntreaChain]) -> tuple[Failure, ...]:
    """Remove chains and the jumps to them, in one transaction each. Return the failures.

    Raises:
        PermissionDeniedError: The process may not write rules.
    """
    return tuple(failure for chain in left for failure in _remove(chain))


def _remove(chain: AntreaChain) -> Iterator[Failure]:
    jumps = (f"-D {jump}" for jump in chain.jumps)
    text = "\n".join(("*nat", f":{CHAIN} - [0:0]", *jumps, f"-X {CHAIN}", "COMMIT", ""))
    done = iptables.write(chain.family, chain.kind, text)
    if _chain(chain.kind, chain.family):
        yield Failure("adopt", chain.place, f"the chain is still there: {done.complaint or 'no error was reported'}")
