"""The command that installs a program, with the tool and the package name of this distribution. Pure."""

from collections.abc import Callable, Mapping

TOOLS: Mapping[str, str] = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "yum": "yum install",
    "microdnf": "microdnf install",
    "zypper": "zypper install",
    "pacman": "pacman -S",
    "apk": "apk add",
}
"""Package tools, each with the command that installs a package. The first one that a machine has counts."""
DEBIAN = "apt-get"
NAMES: Mapping[str, Mapping[str, str]] = {
    # program: package by tool; "" for all others
    "conntrack": {DEBIAN: "conntrack", "": "conntrack-tools"},
    "ip": {"dnf": "iproute", "yum": "iproute", "microdnf": "iproute", "": "iproute2"},
    "tc": {"dnf": "iproute-tc", "yum": "iproute-tc", "microdnf": "iproute-tc", "": "iproute2"},
    "nft": {"": "nftables"},
    "systemctl": {"": "systemd"},
    "userdel": {DEBIAN: "passwd", "dnf": "shadow-utils", "yum": "shadow-utils", "": "shadow"},
    "groupdel": {DEBIAN: "passwd", "dnf": "shadow-utils", "yum": "shadow-utils", "": "shadow"},
}
"""Debian puts both kinds of iptables into one package, as most do; RHEL and Fedora have one for the legacy kind."""


def installation(find: Callable[[str], object], *programs: str) -> str:
    """Return the command that installs programs; find: whether a program is on this machine (its path or None)."""
    tool = next((tool for tool in TOOLS if find(tool)), "")
    wanted = " ".join(dict.fromkeys(_package(program, tool) for program in programs))
    return f"{TOOLS[tool]} {wanted}" if tool else f"install the package {wanted} of your distribution"


def _package(program: str, tool: str) -> str:
    if names := NAMES.get(program):
        return names.get(tool, names.get("", program))
    if "legacy" in program and tool in ("dnf", "yum", "microdnf"):
        return "iptables-legacy"
    return "iptables" if program.startswith(("iptables", "ip6tables")) else program
