"""Checks of the node's network: whether packets get as far as our rules, and from there to the Pods."""

from nplconf.doctor import forward
from nplconf.doctor.facts import Facts, Filter, Forwarding, Unknown
from nplconf.doctor.verdict import Verdict, fail, ok, unknown, warn
from nplconf.model import Family

SYSCTL: dict[Family, str] = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
PREFIX: dict[Family, str] = {"IPv4": "iptables", "IPv6": "ip6tables"}


def ip_forward(facts: Facts) -> Verdict:
    """The kernel forwards packets of every family that Pods here have."""
    off = [SYSCTL[family] for family, on in facts.ip_forward.items() if not on]
    if off:
        return fail(
            f"off: {', '.join(off)}; no packet gets to a Pod", f"sysctl -w {' '.join(f'{key}=1' for key in off)}"
        )
    return ok(f"on for {', '.join(facts.ip_forward)}")


def forward_policy(facts: Facts) -> Verdict:
    """No firewall drops what our rules have translated."""
    found = facts.forwarding
    if isinstance(found, Unknown):
        return unknown(found)
    if dropping := [table for table in found.filters if _verdict(table, found) == "drop"]:
        names = ", ".join(f"{table.program} ({table.family})" for table in dropping)
        accept = (f"{_program(table)} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT" for table in dropping)
        return fail(f"{names}: FORWARD drops what goes to Pods", " && ".join(accept))
    if found.native:
        message = f"nftables: {', '.join(found.native)} drops what it does not know, and nothing says it knows Pods"
        return warn(message, " && ".join(f"nft insert rule {chain} ct status dnat accept" for chain in found.native))
    return ok("nothing drops what goes to Pods")


def _verdict(table: Filter, found: Forwarding) -> forward.Outcome:
    address, device = found.pods.get(table.family, ("", ""))
    return forward.verdict(forward.parse(table.lines), forward.Packet(found.uplinks, device, address))


def _program(table: Filter) -> str:
    return table.program.replace("iptables", PREFIX[table.family])


def route_localnet(facts: Facts) -> Verdict:
    """Nobody outside reaches what listens on 127.0.0.1; nplconf does not need it to be reached."""
    if not facts.route_localnet:
        return ok("off, as it should be: nplconf does not need it")
    if not isinstance(facts.forwarding, Unknown) and any(map(_guards_localnet, facts.forwarding.filters)):
        return ok(f"on for {', '.join(facts.route_localnet)}, and a rule keeps neighbours from 127.0.0.0/8")
    # with slashes: a device's name may have dots
    keys = " ".join(f"net/ipv4/conf/{device}/route_localnet=0" for device in facts.route_localnet)
    return warn(
        f"on for {', '.join(facts.route_localnet)}: neighbours may reach what listens on 127.0.0.1", f"sysctl -w {keys}"
    )


def _guards_localnet(table: Filter) -> bool:
    """As the kubelet does, or an administrator."""
    return any("-d 127.0.0.0/8" in line and line.endswith("-j DROP") for line in table.lines)


def port_range(facts: Facts) -> Verdict:
    """The daemon can bind every number, and the kernel gives none to a connection."""
    wanted, ports = facts.port_range, facts.ports
    if wanted.first < ports.unprivileged:
        below = f"{wanted}: numbers below {ports.unprivileged} are root's, and the hold daemon is not root"
        return fail(below, f"sysctl -w net.ipv4.ip_unprivileged_port_start={wanted.first}")
    reserved = {number for span in ports.reserved for number in range(span.first, span.last + 1)}
    shared = range(max(wanted.first, ports.outgoing.first), min(wanted.last, ports.outgoing.last) + 1)
    if open_ones := [number for number in shared if number not in reserved]:
        message = f"{len(open_ones)} numbers of {wanted} may be given to outgoing connections ({ports.outgoing})"
        return warn(message, f"nplconf hold --reserve --port-range {wanted}")
    return ok(f"{wanted}: no number is given to a connection")


def antrea(facts: Facts) -> Verdict:
    """No Antrea agent does the same work and writes the same annotation."""
    runs, removal = facts.antrea
    if runs and removal:
        message = "a live Antrea agent has NodePortLocal on: two would write the same annotation"
        return fail(message, "kubectl -n kube-system edit configmap antrea-config  # nodePortLocal.enable: false")
    if removal:
        return warn("an Antrea agent that is gone has left its rules for NodePortLocal", removal)
    return ok("an Antrea agent without NodePortLocal" if runs else "no Antrea agent")


def datapath(facts: Facts) -> Verdict:
    """Packets see netfilter."""
    if facts.datapath is None:
        return ok("packets pass netfilter")
    name, bypasses = facts.datapath
    if bypasses:
        return fail(f"{name} leads packets past netfilter: rules would do nothing", _mend(name))
    if bypasses is None:
        return warn(f"{name} may be on: its agent does not say", _mend(name))
    return ok(f"{name} is off: packets pass netfilter")


def _mend(name: str) -> str:
    if "Calico" in name:
        return 'kubectl patch felixconfiguration default --type=merge -p \'{"spec":{"bpfEnabled":false}}\''
    return "cilium config set enable-host-legacy-routing true"
