"""What `doctor` sees of the node: everything is read, nothing is changed, and what cannot be read is a fact too."""

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from nplconf.doctor.facts import Filter, Forwarding, Iptables, LastSuccess, Ports, Store, Unit, Units, Unknown
from nplconf.errors import NplconfError, UnavailableError
from nplconf.install import reserved, systemd
from nplconf.model import FAMILIES, Family, IptablesKind, PortRange
from nplconf.node import backend, command, state
from nplconf.node import last_success as success
from nplconf.node.linux import LinuxNode

SYS = Path("/proc/sys/net")
DEADLINE = 20.0
BITS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
FORWARD: dict[Family, str] = {"IPv4": "ipv4/ip_forward", "IPv6": "ipv6/conf/all/forwarding"}
ANTREA_AGENT = "antrea-agent"
ANTREA_CHAIN = "ANTREA-NODE-PORT-LOCAL"
STARTED = ("nplconf-hold.socket", "nplconf-hold.service", "nplconf.timer")


def missing_capabilities() -> frozenset[str]:
    """What this process lacks to work on rules."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return frozenset(name for name, bit in BITS.items() if not effective >> bit & 1)


def is_closed(path: str) -> bool:
    """Whether there may be a file that we may not read, or a socket that we may not connect to."""
    try:
        return Path(path).exists() and not os.access(path, os.W_OK if Path(path).is_socket() else os.R_OK)
    except PermissionError:
        return True


def sysctl(name: str) -> str:
    """A value below /proc/sys/net; "" where there is none (no IPv6)."""
    try:
        return (SYS / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def ip_forward(families: Iterable[Family]) -> dict[Family, bool]:
    """Whether the kernel forwards."""
    return {family: sysctl(FORWARD[family]) == "1" for family in families}


def route_localnet() -> tuple[str, ...]:
    """The devices whose packets may be led to 127.0.0.0/8; "all" is every device."""
    return tuple(sorted(path.parent.name for path in (SYS / "ipv4/conf").glob("*/route_localnet") if _is_on(path)))


def _is_on(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii").strip() == "1"
    return False


def ports() -> Ports:
    """The kernel's own use of numbers."""
    first, last = map(int, sysctl("ipv4/ip_local_port_range").split())
    theirs = reserved.parse(sysctl("ipv4/ip_local_reserved_ports"))
    return Ports(PortRange(first, last), theirs, int(sysctl("ipv4/ip_unprivileged_port_start") or 1024))


# --- rules -----------------------------------------------------------------------------------------------------------


def live(node: LinuxNode | None) -> tuple[frozenset[int], dict[Family, str]]:
    """Return the node ports that have a rule now, and why a family cannot be read."""
    if node is None:
        return frozenset(), {}
    try:
        reading = node.read()
    except NplconfError as err:
        return frozenset(), dict.fromkeys(FAMILIES, str(err))
    rules = (rule for family, have in reading.found.items() for rule in node.rules.live(have, family))
    return frozenset(rule.key.node_port for rule in rules), dict(reading.unreadable)


def iptables(configured: str, unreadable: Mapping[Family, str]) -> Iptables:
    """Which are there, and whether the one in use answers."""
    return Iptables(backend.installed(), configured, None if unreadable else backend.hinted(), unreadable)


def forwarding(pod_ips: Mapping[Family, str]) -> Forwarding | Unknown:
    """Everything that may keep packets from being forwarded."""
    try:
        filters = tuple(_filters())
    except NplconfError as err:
        return Unknown(str(err))
    pods = {family: (ip, _device(("route", "get", ip))) for family, ip in pod_ips.items()}
    ways = [_device((flag, "route", "show", "default")) for flag in ("-4", "-6")]
    return Forwarding(filters, tuple(_native()), frozenset(filter(None, ways)), pods)


def _filters() -> Iterable[Filter]:
    for kind in backend.installed():
        for family in FAMILIES:
            if kind == "nft" or backend.legacy_has("filter", family):
                done = command.run(backend.program(family, kind, "save"), "-t", "filter", deadline=DEADLINE)
                if done.code:
                    raise UnavailableError(f"iptables-{kind} ({family}): {done.complaint}")
                yield Filter(f"iptables-{kind}", family, tuple(done.text.splitlines()))


def _device(words: tuple[str, ...]) -> str:
    """The device of the first route that `ip` names; "" where it names none."""
    with contextlib.suppress(NplconfError):
        told = command.run("ip", *words, deadline=DEADLINE).text.split()
        return told[told.index("dev") + 1] if "dev" in told[:-1] else ""
    return ""


def _native() -> Iterable[str]:
    """Chains of nftables itself that forwarded packets pass, that drop by default, and that know nothing of DNAT."""
    with contextlib.suppress(NplconfError, ValueError, KeyError):
        listed = json.loads(command.run("nft", "--json", "list", "chains", deadline=DEADLINE).text or "{}")
        for entry in listed.get("nftables", ()):
            chain = entry.get("chain", {})
            iptables_own = chain.get("family") in ("ip", "ip6") and chain.get("table") == "filter"
            if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not iptables_own:
                words = (chain["family"], chain["table"], chain["name"])
                if "dnat" not in command.run("nft", "list", "chain", *words, deadline=DEADLINE).text:
                    yield " ".join(words)


# --- other programs --------------------------------------------------------------------------------------------------


def antrea(*, blind: bool) -> tuple[bool, str]:
    """Whether an agent runs, and the commands that remove its chain for NodePortLocal; "" where there is none.

    blind: iptables gives no answer.
    """
    runs = any(_is_antrea(process) for process in Path("/proc").glob("[0-9]*/comm"))
    places = [] if blind else [(family, kind) for kind in backend.installed() for family in FAMILIES]
    return runs, " && ".join(removal for place in places for removal in _antrea_removal(*place))


def _is_antrea(comm: Path) -> bool:
    with contextlib.suppress(OSError):
        return comm.read_text(encoding="utf-8", errors="replace").strip() == ANTREA_AGENT
    return False


def _antrea_removal(family: Family, kind: IptablesKind) -> list[str]:
    """One command for each jump to the chain, and two for itself."""
    with contextlib.suppress(NplconfError):
        if kind == "legacy" and not backend.legacy_has("nat", family):
            return []
        question = f"*nat\n-S {ANTREA_CHAIN}\n-S PREROUTING\n-S OUTPUT\nCOMMIT\n"
        done = command.run(backend.program(family, kind, "restore"), "--noflush", text=question, deadline=DEADLINE)
        lines = done.text.splitlines()
        if done.code == 0 and f"-N {ANTREA_CHAIN}" in lines:
            jumps = [line for line in lines if line.startswith("-A ") and line.endswith(f" -j {ANTREA_CHAIN}")]
            call = f"{backend.program(family, kind, 'save').removesuffix('-save')} -t nat"
            rest = [f"{call} -F {ANTREA_CHAIN}", f"{call} -X {ANTREA_CHAIN}"]
            return [*(f"{call} -D {_for_a_shell(line.removeprefix('-A '))}" for line in jumps), *rest]
    return []


def _for_a_shell(rule: str) -> str:
    """What iptables prints: it quotes apostrophes too, which shells do not know within quotes."""
    return shlex.join(shlex.split(rule.replace("\\'", "'")))


# --- systemd ---------------------------------------------------------------------------------------------------------


def units(wanted: Mapping[str, str]) -> Units | Unknown:
    """What is installed, beside what this nplconf would write (path -> text)."""
    if not systemd.runs():
        return Unknown("systemd does not run here")
    wrong = differing(wanted)
    missing = tuple(path for path in wrong if _text(path) is None)
    try:
        return Units(
            missing, tuple(path for path in wrong if path not in missing), {name: _unit(name) for name in STARTED}
        )
    except NplconfError as err:
        return Unknown(str(err))


def differing(wanted: Mapping[str, str]) -> tuple[str, ...]:
    """The files (path -> text) that are not there so."""
    return tuple(path for path, text in wanted.items() if _text(path) != text)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _unit(name: str) -> Unit:
    found = systemd.properties(name, "LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload")
    load, enabled, active = (found.get(key, "") for key in ("LoadState", "UnitFileState", "ActiveState"))
    return Unit(load, enabled, active, found.get("NeedDaemonReload") == "yes")


def store() -> Store | Unknown:
    """What systemd keeps for the hold daemon."""
    if not systemd.runs():
        return Unknown("systemd does not run here")
    try:
        found = systemd.properties("nplconf-hold.service", "MainPID", "NFileDescriptorStore")
        return Store(int(found.get("MainPID", 0)), int(found.get("NFileDescriptorStore", 0)))
    except (NplconfError, ValueError) as err:
        return Unknown(str(err))


def last_success(directory: str) -> LastSuccess | Unknown:
    """The clock of the last good run, and whether a timer is to renew it."""
    if is_closed(f"{directory}/{success.FILE}"):
        return Unknown(f"{directory} is not ours to read", closed=True)
    last = success.last(directory)
    timer = False
    with contextlib.suppress(NplconfError):
        timer = systemd.runs() and systemd.properties("nplconf.timer", "ActiveState").get("ActiveState") == "active"
    here = last is not None and last.boot == state.boot_id()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - last.at if last and here else None
    return LastSuccess(age, last is not None, timer)
