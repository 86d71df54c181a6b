"""The effects of a policy on requests: denials, source ranges, and node ports. Pure.

Every decision is made on sorted input, so the same policy and the same requests in any order give the same plan. A
refusal carries the path of the rule that decided.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from nplconf.desired.pods import Numbers, PortRequest, Refusal
from nplconf.desired.ports import Previous, allocate
from nplconf.desired.requests import EVERYBODY, Audience
from nplconf.desired.shares import Share
from nplconf.model import FAMILIES, Family, PodPort, PortRange
from nplconf.plan.policy import Pin, Policy, Reserved

# --- who, and reached by whom ----------------------------------------------------------------------------------------


def audience(namespace: str, policy: Policy) -> Audience:
    """Return who may reach the Pods of a namespace."""
    if rule := policy.denied(namespace):
        return Audience(Refusal("policy", f"the policy does not expose namespace {namespace}", rule))
    networks = policy.networks_of(namespace)
    if not networks:
        return EVERYBODY
    sources = {family: _of_family(networks, family) or _nobody(namespace, family, policy) for family in FAMILIES}
    message = "the Pod's hostPort is open to every client, which its namespace must not be"
    return Audience(None, sources, Refusal("policy", message, _sources_rule(namespace, policy)))


def _of_family(networks: Iterable[str], family: Family) -> tuple[str, ...]:
    """Return the networks of one family, merged."""
    from netaddr import cidr_merge

    return tuple(str(network) for network in cidr_merge([n for n in networks if (":" in n) == (family == "IPv6")]))


def _nobody(namespace: str, family: Family, policy: Policy) -> Refusal:
    return Refusal(
        "policy", f"the policy lets no {family} client to namespace {namespace}", _sources_rule(namespace, policy)
    )


def _sources_rule(namespace: str, policy: Policy) -> str:
    return next(sources.rule for sources in policy.sources if sources.namespace == namespace)


# --- which numbers ---------------------------------------------------------------------------------------------------


def numbered(
    wanted: Iterable[PortRequest],
    policy: Policy,
    port_range: PortRange,
    others: Mapping[int, str],
    past: Previous,
    share: Share,
) -> Numbers:
    """Return a node port for each owner, within what the policy allows.

    A pinned port is given to its owner or to nobody. A namespace with ranges draws from them alone, and no other one
    does. A cap per namespace replaces the share, and so do ranges.

    Args:
        wanted: The requests.
        policy: The policy.
        port_range: The node ports there are.
        others: The ports that others use on the node, and who does.
        past: Earlier allocations.
        share: How much one namespace may have without a cap or ranges.

    """
    asking: dict[PodPort, str | None] = {}
    services: dict[PodPort, set[str]] = {}
    for request in wanted:
        if not request.host_port:
            asking[request.owner] = request.pod.annotation
            services.setdefault(request.owner, set()).update(request.services)
    gone = past.taken.union(others)
    pins = pinned(services, policy, past, gone)
    refused = {owner: _taken(pin, others) for owner, pin in pins.items() if pin.node_port in gone}
    eligible = within_caps(asking.keys() - refused.keys(), pins.keys(), policy, past)
    given = {owner: pin.node_port for owner, pin in pins.items() if owner in eligible}
    for owners, ranges in _pools(eligible - given.keys(), policy):
        span, between = _span(ranges, port_range)
        avoid = gone | between | _reserved_for_others(ranges, policy)
        most = None if ranges or policy.per_namespace else share.most
        found = allocate({o: asking[o] for o in owners}, span, avoid, past, most)
        given |= found.given
        refused |= {owner: share.refusal(owner) for owner in found.over_share}
    left = asking.keys() - given.keys() - refused.keys()
    return Numbers(given, refused | dict(_reasons(left, given, policy, port_range)))


def pinned(
    services: Mapping[PodPort, Collection[str]], policy: Policy, past: Previous, gone: Collection[int] = ()
) -> dict[PodPort, Pin]:
    """Return the owner of each pin.

    The pin of a Pod goes before that of its Service. The pin of a Service goes to the Pod that has the port, else to
    the first Pod by name. A pin whose port is not available serves nobody. So it goes to a Pod without another port;
    otherwise every run would take the port of one more Pod.

    Args:
        services: The Services that ask for each owner.
        policy: The policy.
        past: Earlier allocations.
        gone: Ports that nobody can have.

    """
    found: dict[PodPort, Pin] = {}
    for pin in policy.pins:
        owner = PodPort(pin.subject, pin.pod_port)
        if pin.kind == "pod" and owner in services:
            found[owner] = pin
    for pin in policy.pins:
        if pin.kind == "service":
            able = [o for o in services if o.port == pin.pod_port and pin.subject in services[o] and o not in found]
            order = _without_another_first if pin.node_port in gone else _having_first
            found |= dict.fromkeys(order(able, pin.node_port, past)[:1], pin)
    return found


def _having_first(owners: Iterable[PodPort], number: int, past: Previous) -> list[PodPort]:
    """Return the owner that has the port, then all by name."""
    names = sorted(owners)
    return [*(o for source in past.sources for o in names if source.get(o) == number), *names]


def _without_another_first(owners: Iterable[PodPort], number: int, past: Previous) -> list[PodPort]:
    """Return owners without another port first: none loses its port for one that is not available."""
    return sorted(owners, key=lambda o: (-_last_seen(o, past, besides=number), o))


def within_caps(
    owners: Iterable[PodPort], pinned: Collection[PodPort], policy: Policy, past: Previous
) -> frozenset[PodPort]:
    """Return the owners that may have a port. Pinned ones count first, then those with a port, then names."""
    counts = _Counts(policy)
    ranked = sorted(owners, key=lambda o: (o not in pinned, _last_seen(o, past), o))
    return frozenset(owner for owner in ranked if counts.over(owner) is None and counts.add(owner))


class _Counts:
    """The ports per Pod and per namespace, and the caps."""

    def __init__(self, policy: Policy, owners: Iterable[PodPort] = ()) -> None:
        self._policy = policy
        self._pods: Counter[str] = Counter()
        self._namespaces: Counter[str] = Counter()
        for owner in owners:
            self.add(owner)

    def add(self, owner: PodPort) -> bool:
        self._pods[owner.pod] += 1
        self._namespaces[owner.namespace] += 1
        return True

    def over(self, owner: PodPort) -> Refusal | None:
        """Return the refusal of a cap that one more port would exceed; None if none."""
        per_pod, per_namespace = self._policy.per_pod, self._policy.per_namespace
        if per_pod is not None and self._pods[owner.pod] >= per_pod:
            return Refusal("policy", f"the policy gives a Pod at most {per_pod} numbers", "spec.caps.perPod")
        if per_namespace is not None and self._namespaces[owner.namespace] >= per_namespace:
            message = f"the policy gives a namespace at most {per_namespace} numbers of a node"
            return Refusal("policy", message, "spec.caps.perNamespace")
        return None


def _reasons(
    owners: Iterable[PodPort], given: Mapping[PodPort, int], policy: Policy, port_range: PortRange
) -> Iterator[tuple[PodPort, Refusal]]:
    """Yield why each of these owners has no port.

    It is judged by what was given in the end, so that the next run says the same.
    """
    counts = _Counts(policy, given)
    for owner in owners:
        yield owner, counts.over(owner) or _full(policy.ranges_of(owner.namespace), port_range)


def _last_seen(owner: PodPort, past: Previous, besides: int | None = None) -> int:
    """Return the place of the most trusted source that knows a port of the owner (another one than `besides`)."""
    known = (source.get(owner, besides) for source in past.sources)
    return next((place for place, number in enumerate(known) if number != besides), len(past.sources))


def _pools(owners: Iterable[PodPort], policy: Policy) -> Iterator[tuple[list[PodPort], tuple[Reserved, ...]]]:
    """Yield the owners that draw from the same ranges; the last group has no ranges of its own."""
    own = {reserved.namespace for reserved in policy.ranges}
    groups: dict[str, list[PodPort]] = {}
    for owner in sorted(owners):
        namespace = owner.namespace
        groups.setdefault(namespace if namespace in own else "", []).append(owner)
    for namespace in sorted(groups):
        yield groups[namespace], policy.ranges_of(namespace)


def _span(ranges: tuple[Reserved, ...], port_range: PortRange) -> tuple[PortRange, frozenset[int]]:
    """Return a range around these ranges (without any: the port range), and the ports between them."""
    if not ranges:
        return port_range, frozenset()
    span = PortRange(min(r.ports.first for r in ranges), max(r.ports.last for r in ranges))
    return span, _all(PortRange(span.first, span.last)) - frozenset(chain.from_iterable(_all(r.ports) for r in ranges))


def _reserved_for_others(ranges: tuple[Reserved, ...], policy: Policy) -> frozenset[int]:
    """Return the ports that a pool must not use: all pins, and the ranges of other namespaces."""
    others = (_all(reserved.ports) for reserved in policy.ranges if reserved not in ranges)
    return frozenset(pin.node_port for pin in policy.pins).union(*others)


def _all(ports: PortRange) -> frozenset[int]:
    return frozenset(ports.numbers)


def _taken(pin: Pin, others: Mapping[int, str]) -> Refusal:
    whose = others.get(pin.node_port, "not available on the node")
    return Refusal("pin-taken", f"the pinned port {pin.node_port} is {whose}", pin.rule)


def _full(ranges: tuple[Reserved, ...], port_range: PortRange) -> Refusal:
    numbers = ", ".join(str(reserved.ports) for reserved in ranges) or str(port_range)
    return Refusal("range-full", f"no number of {numbers} is free", ranges[0].rule if ranges else None)
