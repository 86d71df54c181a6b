"""Which backend the node's other rules are in.

kube-proxy's nftables mode is known by its table. Otherwise the choice is that of Kubernetes' iptables-wrappers: the
kubelet leaves a hint chain in the mangle table of the iptables that it uses. It does so in any mode of kube-proxy, so
its chains say nothing against nftables. Rules of two backends in one kernel work, but an operator who looks for the
rules of nplconf would look in one place.
"""

from pathlib import Path

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, IptablesKind
from nplconf.node import command, libnftables

PROXY = frozenset(("table ip kube-proxy", "table ip6 kube-proxy"))
HINTS = ("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY")
DEADLINE = 10.0
NAMES_FILES: dict[Family, str] = {"IPv4": "/proc/net/ip_tables_names", "IPv6": "/proc/net/ip6_tables_names"}
_PREFIX: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}


def program(family: Family, backend: IptablesKind, what: str) -> str:
    """The name of a program: iptables-nft-restore."""
    return f"{_PREFIX[family]}-{backend}-{what}"


def choose() -> Backend:
    """Return nftables where kube-proxy uses it or no iptables is installed; else the kind of iptables.

    That is iptables-nft, unless only legacy has the kubelet's hints. Raises UnavailableError without any of them.
    """
    found = installed()
    with_nftables = libnftables.installed()
    if with_nftables and (not found or proxied_by_nftables()):
        return "nftables"
    if not found:
        raise UnavailableError("neither nftables nor iptables is installed: apt-get install nftables")
    kind = found[0] if len(found) == 1 else hinted() or "nft"
    return "iptables-nft" if kind == "nft" else "iptables-legacy"


def proxied_by_nftables() -> bool:
    """Return whether the table of kube-proxy's nftables mode is there."""
    try:
        return not PROXY.isdisjoint(libnftables.ask("list tables\n").splitlines())
    except (UnavailableError, PermissionDeniedError):
        return False


def installed() -> tuple[IptablesKind, ...]:
    """The backends whose programs are there."""
    kinds: tuple[IptablesKind, ...] = ("nft", "legacy")
    return tuple(kind for kind in kinds if command.find(program("IPv4", kind, "restore")))


def hinted() -> IptablesKind | None:
    """The backend that the kubelet uses, where it has left its hint."""
    return next((kind for kind in installed() if _hinted(kind)), None)


def _hinted(backend: IptablesKind) -> bool:
    """One that hangs is not asked for the other family too."""
    try:
        return any(_has_hint(family, backend) for family in FAMILIES)
    except (UnavailableError, PermissionDeniedError):
        return False


def _has_hint(family: Family, backend: IptablesKind) -> bool:
    if backend == "legacy" and not legacy_has("mangle", family):
        return False
    # one call each: the first chain that is missing ends a restore, so they are asked in two
    return any(_lists(family, backend, chain) for chain in HINTS)


def _lists(family: Family, backend: IptablesKind, chain: str) -> bool:
    question = f"*mangle\n-S {chain}\nCOMMIT\n"
    done = command.run(program(family, backend, "restore"), "--noflush", text=question, deadline=DEADLINE)
    return done.code == 0 and f"-N {chain}" in done.text.splitlines()


def legacy_has(table: str, family: Family) -> bool:
    """Whether a legacy table exists. Asking iptables-legacy itself would make it, with its hooks.

    Raises PermissionDeniedError when we may not know.
    """
    try:
        return table in Path(NAMES_FILES[family]).read_text(encoding="ascii").split()
    except PermissionError as err:
        raise PermissionDeniedError(f"{NAMES_FILES[family]}: {err.strerror}: run as root") from err
    except OSError:
        return False
