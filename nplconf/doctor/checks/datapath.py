"""Check `datapath`: packets pass netfilter, so that rules have an effect."""

from nplconf.doctor.facts import Facts
from nplconf.doctor.verdict import Check, Verdict, fail, ok, warn
from nplconf.node import datapath as node


def bypass(_facts: Facts) -> node.Datapath | None:
    """Return the data plane that can bypass netfilter, where there is one."""
    return node.found()


def datapath(facts: Facts) -> Verdict:
    """No eBPF data plane bypasses netfilter."""
    found = facts.read(bypass)
    if found is None:
        return ok("packets pass netfilter")
    if found.bypasses:
        return fail(f"{found.name} bypasses netfilter: rules have no effect", _fix(found.name))
    if found.bypasses is None:
        return warn(f"{found.name} may be on: its agent does not say", _fix(found.name))
    return ok(f"{found.name} is off: packets pass netfilter")


def _fix(name: str) -> str:
    if "Calico" in name:
        return 'kubectl patch felixconfiguration default --type=merge -p \'{"spec":{"bpfEnabled":false}}\''
    return "cilium config set enable-host-legacy-routing true"


CHECKS = (Check("datapath", 160, datapath),)
