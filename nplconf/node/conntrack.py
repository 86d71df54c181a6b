"""Forget the UDP flows that go elsewhere than the rules now say.

The kernel translates a flow by its first packet: it keeps reaching the old Pod after its rule is retargeted or removed,
and one that sent while there was no rule stays black-holed after the rule comes, for as long as it keeps sending. So
after the commit, entries whose first packet went to one of the node's addresses and to a changed number are deleted
when somebody else answers them than the mapping's Pod. The same number on another address (transit, a virtual IP) and
numbers that did not change are left alone, and so is every zone but 0: other zones are another program's table (OVS),
in which the rules of this node do not act.

Measured at 200,000 entries: one changed number 0.05 s (the kernel filters), 1,000 numbers 0.5 s (one listing, and 20 us
for each entry that is deleted); `conntrack -D` 0.5 s for each number.

TCP needs none of it: a connection to a Pod that is gone ends by itself, a SYN on a refused tuple starts a new entry.
"""

import errno
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nplconf.deadline import current
from nplconf.model import FAMILIES, Change, Failure, Family, PortMapping, PortRange
from nplconf.node.ctnetlink import Entry, Table

FEW = 4
"""Up to so many numbers the kernel is asked once for each, and leaves the other flows out."""
KERNEL_FAMILY = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
EXPLAINED = {
    errno.EPERM: "CAP_NET_ADMIN is missing",
    errno.EINVAL: "the kernel module nf_conntrack_netlink is missing",
    errno.EPROTONOSUPPORT: "the kernel has no NETLINK_NETFILTER",
}


@dataclass(frozen=True, slots=True, order=True)
class Rerouted:
    """A UDP number that now leads to `to`, (Pod IP, port); to None: no flow to it is right, all go."""

    number: int
    family: Family
    to: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of it: how many entries were deleted (0 is as good), and what could not be done."""

    deleted: int = 0
    failures: tuple[Failure, ...] = ()


def rerouted(changes: Iterable[Change]) -> tuple[Rerouted, ...]:
    """The UDP numbers whose flows these changes concern; the new owner of a number wins over the old one."""
    changes = tuple(changes)
    before = [change.was or change.mapping for change in changes if change.action != "add"]
    after = [change for change in changes if change.action != "delete"]
    leads: dict[tuple[int, Family], tuple[str, int] | None] = {_place(old): None for old in before if _has_flows(old)}
    leads |= {_place(change.mapping): _to(change) for change in after if _has_flows(change.mapping)}
    return tuple(sorted(Rerouted(number, family, to) for (number, family), to in leads.items()))


def _has_flows(mapping: PortMapping) -> bool:
    return mapping.protocol == "udp" and mapping.via == "dnat"


def _place(mapping: PortMapping) -> tuple[int, Family]:
    return mapping.node_port, mapping.family


def _to(change: Change) -> tuple[str, int] | None:
    """Where flows must lead that may stay; with other source ranges none may (who may come is decided by the rules)."""
    mapping, was = change.mapping, change.was
    if was and was.source_ranges != mapping.source_ranges:
        return None
    return mapping.pod_ip, mapping.pod_port


def whole_range(port_range: PortRange, mappings: Iterable[PortMapping]) -> tuple[Rerouted, ...]:
    """Every port with its present target, for the run after one that was killed before `flush_flows`."""
    led = {_place(one): (one.pod_ip, one.pod_port) for one in mappings if _has_flows(one)}
    numbers = range(port_range.first, port_range.last + 1)
    return tuple(Rerouted(number, family, led.get((number, family))) for number in numbers for family in FAMILIES)


def flush_flows(
    flows: Collection[Rerouted], addresses: Mapping[Family, Collection[str]], deadline: float = 10.0
) -> Forgotten:
    """Delete the wrong flows to these numbers at these addresses of the node. Call it after the commit. Never raises.

    addresses: what the rules match, per family. deadline: seconds for all of it.
    """
    until = time.monotonic() + current().left(deadline)
    done = [_forget(family, flows, addresses.get(family, ()), until) for family in FAMILIES]
    return Forgotten(sum(one.deleted for one in done), tuple(failure for one in done for failure in one.failures))


def _forget(family: Family, flows: Iterable[Rerouted], addresses: Collection[str], until: float) -> Forgotten:
    try:
        return Forgotten(_deleted(family, flows, addresses, until))
    except (
        OSError,
        LookupError,
        ValueError,
    ) as error:  # the last two: an answer of unknown shape
        why = EXPLAINED.get(error.errno or 0, str(error)) if isinstance(error, OSError) else repr(error)
        message = f"UDP flows may go on to where they went before: the flow table cannot be cleaned: {why}"
        return Forgotten(failures=(Failure("conntrack", family, message),))


def _deleted(family: Family, flows: Iterable[Rerouted], addresses: Collection[str], until: float) -> int:
    kernel = KERNEL_FAMILY[family]
    here = {socket.inet_pton(kernel, address) for address in addresses}
    leads = {
        flow.number: (socket.inet_pton(kernel, flow.to[0]), flow.to[1]) if flow.to else None
        for flow in flows
        if flow.family == family
    }
    if not leads or not here:
        return 0

    def is_wrong(entry: Entry) -> bool:
        return entry.destination in here and entry.answered_by != leads[entry.number]

    rounds = [{number} for number in leads] if len(leads) <= FEW else [set(leads)]
    with Table(kernel, until) as table:
        return table.delete([entry.exact for numbers in rounds for entry in table.udp_to(numbers) if is_wrong(entry)])
