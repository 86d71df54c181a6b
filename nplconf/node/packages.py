"""The command that installs a program on this distribution: the package tool and the package name. Pure."""

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
"""The package tools, each with its install command. The first one that is installed is used."""
DEBIAN = "apt-get"
NAMES: Mapping[str, Mapping[str, str]] = {
    # program -> package by tool; "" for all other tools
    "conntrack": {DEBIAN: "conntrack", "": "conntrack-tools"},
    "ip": {"dnf": "iproute", "yum": "iproute", "microdnf": "iproute", "": "iproute2"},
    "tc": {"dnf": "iproute-tc", "yum": "iproute-tc", "microdnf": "iproute-tc", "": "iproute2"},
    "nft": {"": "nftables"},
    "systemctl": {"": "systemd"},
    "userdel": {DEBIAN: "passwd", "dnf": "shadow-utils", "yum": "shadow-utils", "": "shadow"},
    "groupdel": {DEBIAN: "passwd", "dnf": "shadow-utils", "yum": "shadow-utils", "": "shadow"},
}
"""iptables is not listed: most distributions have one package for both kinds. RHEL and Fedora have another for legacy.
"""


def installation(find: Callable[[str], object], *programs: str) -> str:
    """Return the command that installs programs.

    Args:
        find: Returns the path of an installed program, otherwise None.
        programs: The programs to install.
    """
    tool = next((tool for tool in TOOLS if find(tool)), "")
    wanted = " ".join(dict.fromkeys(_package(program, tool) for program in programs))
    return f"{TOOLS[tool]} {wanted}" if tool else f"install the package {wanted} of your distribution"


def _package(program: str, tool: str) -> str:
    if names := NAMES.get(program):
        return names.get(tool, names.get("", program))
    if "legacy" in program and tool in ("dnf", "yum", "microdnf"):
        return "iptables-legacy"
    return "iptables" if program.startswith(("iptables", "ip6tables")) else program
