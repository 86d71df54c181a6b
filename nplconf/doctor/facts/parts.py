"""The parts of the machine that iptables needs beside its programs: kernel modules, IPv6, its lock file."""

import re
from collections.abc import Iterator
from pathlib import Path

from nplconf.doctor.facts import Facts, Fault
from nplconf.doctor.facts.kernel import DEADLINE, SYS
from nplconf.doctor.facts.netfilter import live, node
from nplconf.errors import NplconfError
from nplconf.model import FAMILIES, IptablesKind
from nplconf.node import backend, command

LOCK = Path("/run/xtables.lock")
CMDLINE = Path("/proc/cmdline")
MATCHES = """\
*nat
:NPLCONF-PROBE - [0:0]
-A NPLCONF-PROBE -p tcp -m tcp --dport 1 -m addrtype --dst-type LOCAL -m comment --comment x -j RETURN
-A NPLCONF-PROBE -m conntrack --ctstate DNAT -j RETURN
COMMIT
"""
"""All matches of the rules of nplconf; `--test` parses them, with the revisions that the kernel has."""
_MISSING = re.compile(r"Extension (\w+) revision \d+ not supported|Couldn't load match `(\w+)'")


def missing_parts(facts: Facts) -> tuple[Fault, ...]:
    """Return what is missing, each with the command that brings it."""
    machine = facts.read(node)
    name = machine.backend if machine else "nftables"
    if name == "nftables":
        return ()
    kind: IptablesKind = "legacy" if name == "iptables-legacy" else "nft"
    return (*_lock(kind), *_ipv6(facts), *_matches(kind))


def _lock(kind: IptablesKind) -> Iterator[Fault]:
    if kind == "legacy" and LOCK.is_dir():
        fix = f"rmdir {LOCK} && install -m 600 /dev/null {LOCK}"
        yield Fault(f"{LOCK} is a directory: iptables-legacy cannot use it as its lock", fix)


def _ipv6(facts: Facts) -> Iterator[Fault]:
    if (SYS / "ipv6").is_dir() or "IPv6" not in facts.read(live).unreadable:
        return
    if "ipv6.disable=1" in CMDLINE.read_text("ascii", "replace").split():
        fix = "grubby --update-kernel=ALL --remove-args=ipv6.disable=1  # or edit /etc/default/grub; then reboot"
        yield Fault("IPv6 is off in this kernel (boot option ipv6.disable=1): ip6tables does not answer", fix)
    else:
        yield Fault("the kernel module of IPv6 is not loaded: ip6tables does not answer", "modprobe -a ipv6 ip6_tables")


def _matches(kind: IptablesKind) -> Iterator[Fault]:
    for family in FAMILIES:
        try:
            if kind == "legacy" and not backend.legacy_has("nat", family):
                continue
            restore = backend.program(family, kind, "restore")
            done = command.run(restore, "--test", "--noflush", text=MATCHES, deadline=DEADLINE)
        except NplconfError:
            continue
        if match := _MISSING.search(done.errors):
            module = f"xt_{match[1] or match[2]}"
            yield Fault(f"the kernel module {module} is missing: {restore} refuses every rule", f"modprobe {module}")
            return
