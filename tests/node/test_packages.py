"""The command that installs a program on each distribution."""

import pytest

from nplconf.node.packages import installation


@pytest.mark.parametrize(
    ("tools", "program", "command"),
    [
        ({"apt-get"}, "iptables-nft-restore", "apt-get install iptables"),
        ({"apt-get"}, "iptables-legacy-save", "apt-get install iptables"),
        ({"dnf", "yum"}, "iptables-restore", "dnf install iptables"),
        ({"dnf"}, "ip6tables-legacy-restore", "dnf install iptables-legacy"),
        ({"yum"}, "conntrack", "yum install conntrack-tools"),
        ({"zypper"}, "conntrack", "zypper install conntrack-tools"),
        ({"apk"}, "ip", "apk add iproute2"),
        ({"dnf"}, "ip", "dnf install iproute"),
        ({"pacman"}, "nft", "pacman -S nftables"),
        ({"apt-get"}, "userdel", "apt-get install passwd"),
    ],
)
def test_the_tool_and_the_package_are_those_of_this_machine(tools: set[str], program: str, command: str) -> None:
    assert installation(lambda name: name if name in tools else None, program) == command


def test_where_no_tool_is_known_the_package_is_named() -> None:
    reported = installation(lambda _: None, "conntrack")
    assert reported == "install the package conntrack-tools of your distribution"


def test_a_package_of_two_programs_is_named_once() -> None:
    assert installation(lambda name: name == "apt-get" or None, "iptables-nft-restore", "iptables-nft-save", "nft") == (
        "apt-get install iptables nftables"
    )
