"""Check `ip-forward`: the kernel forwards packets to Pods."""

from collections.abc import Mapping

from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.cluster import pod_addresses
from nplconf.doctor.facts.kernel import sysctl
from nplconf.doctor.verdict import Check, Verdict, fail, ok
from nplconf.model import Family

SYSCTL: dict[Family, str] = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}


def forwards(facts: Facts) -> Mapping[Family, bool]:
    """Return for every family that Pods here have whether the kernel forwards it."""
    families = tuple(facts.read(pod_addresses)) or ("IPv4",)
    return {family: sysctl(SYSCTL[family].removeprefix("net.").replace(".", "/")) == "1" for family in families}


def ip_forward(facts: Facts) -> Verdict:
    """Forwarding is on."""
    found = facts.read(forwards)
    if off := [SYSCTL[family] for family, on in found.items() if not on]:
        return fail(f"{', '.join(off)} is off: no packet reaches a Pod", f"sysctl -w {' '.join(f'{k}=1' for k in off)}")
    return ok(f"forwarding is on ({', '.join(found)})")


CHECKS = (Check("ip-forward", 40, ip_forward),)
