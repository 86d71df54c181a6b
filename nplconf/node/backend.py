"""The choice of the backend: the one that the node's other rules use.

A table of kube-proxy's nftables mode means nftables. Otherwise the choice is that of Kubernetes' iptables-wrappers: the
kubelet leaves a hint chain in the mangle table of the iptables that it uses. The kubelet does so in every mode of
kube-proxy, so a hint chain is no evidence against nftables. Rules in two backends would work, but an operator looks for
the rules in one place.
"""

import os
from functools import lru_cache
from pathlib import Path

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, IptablesKind
from nplconf.node import command, libnftables, packages

PROXY = frozenset(("ip kube-proxy", "ip6 kube-proxy"))
HINTS = ("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY")
DEADLINE = 10.0
NAMES_FILES: dict[Family, str] = {"IPv4": "/proc/net/ip_tables_names", "IPv6": "/proc/net/ip6_tables_names"}
_PREFIX: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}


def program(family: Family, backend: IptablesKind, what: str) -> str:
    """Return the name of an iptables program, such as iptables-nft-restore.

    RHEL 8 and similar distributions have only plain names, such as iptables-restore. Their `--version` tells the kind.

    Args:
        family: IPv4 for iptables, IPv6 for ip6tables.
        backend: The kind of iptables.
        what: "save" or "restore".
    """
    named, plain = f"{_PREFIX[family]}-{backend}-{what}", f"{_PREFIX[family]}-{what}"
    if command.find(named) is None and _kind(plain) == backend:
        return plain
    return named


def _kind(plain: str) -> IptablesKind | None:
    """Return the kind of a program with a plain name. None if it is not installed or does not answer."""
    path = command.find(plain)
    if path is None:
        return None
    status = os.stat(path)  # noqa: PTH116
    return _kind_by_version(plain, path, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _kind_by_version(plain: str, _path: str, _inode: int, _changed: int) -> IptablesKind | None:
    """Run `--version`, once for each file. Versions before 1.8 are legacy and print no kind."""
    try:
        done = command.run(plain, "--version", deadline=DEADLINE)
    except UnavailableError:
        return None
    if done.code:
        return None
    return "nft" if "(nf_tables)" in done.text else "legacy"


def choose() -> Backend:
    """Return nftables if kube-proxy uses it or no iptables is installed; otherwise the kind of iptables.

    With both kinds installed this is iptables-nft, unless only legacy has the kubelet's hint chains.

    Raises:
        UnavailableError: Neither nftables nor iptables is installed.
    """
    found = installed()
    with_nftables = libnftables.installed()
    if with_nftables and (not found or proxied_by_nftables()):
        return "nftables"
    if not found:
        raise UnavailableError(f"neither nftables nor iptables is installed: {installation('nftables')}")
    kind = found[0] if len(found) == 1 else hinted() or "nft"
    return "iptables-nft" if kind == "nft" else "iptables-legacy"


def proxied_by_nftables() -> bool:
    """Return whether the table of kube-proxy's nftables mode exists."""
    try:
        return not PROXY.isdisjoint(libnftables.tables())
    except (UnavailableError, PermissionDeniedError):
        return False


def installation(kind: str = "") -> str:
    """Return the command that installs a backend on this distribution.

    Args:
        kind: "legacy" or "nftables" if only that will do; "" for any iptables.
    """
    programs = {"": "iptables", "nftables": "nft"}
    return packages.installation(command.find, programs.get(kind, f"iptables-{kind}-restore"))


def installed() -> tuple[IptablesKind, ...]:
    """Return the kinds of iptables that are installed."""
    kinds: tuple[IptablesKind, ...] = ("nft", "legacy")
    return tuple(kind for kind in kinds if command.find(program("IPv4", kind, "restore")))


def hinted() -> IptablesKind | None:
    """Return the kind of iptables that the kubelet uses, None without a hint chain."""
    return next((kind for kind in installed() if _hinted(kind)), None)


def _hinted(backend: IptablesKind) -> bool:
    """Return whether a kind has a hint chain. A program that hangs is not run again for the other family."""
    try:
        return any(_has_hint(family, backend) for family in FAMILIES)
    except (UnavailableError, PermissionDeniedError):
        return False


def _has_hint(family: Family, backend: IptablesKind) -> bool:
    if backend == "legacy" and not legacy_has("mangle", family):
        return False
    # one call for each chain: iptables-restore ends at the first missing chain
    return any(_lists(family, backend, chain) for chain in HINTS)


def _lists(family: Family, backend: IptablesKind, chain: str) -> bool:
    question = f"*mangle\n-S {chain}\nCOMMIT\n"
    done = command.run(program(family, backend, "restore"), "--noflush", text=question, deadline=DEADLINE)
    return done.code == 0 and f"-N {chain}" in done.text.splitlines()


def legacy_has(table: str, family: Family) -> bool:
    """Return whether a legacy table exists, from /proc. A call of iptables-legacy would create the table and its hooks.

    Raises:
        PermissionDeniedError: The process may not read the file.
    """
    try:
        return table in Path(NAMES_FILES[family]).read_text(encoding="ascii").split()
    except PermissionError as err:
        raise PermissionDeniedError(f"{NAMES_FILES[family]}: {err.strerror}: run as root") from err
    except OSError:
        return False
