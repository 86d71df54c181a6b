"""The rules of the kernel as mappings, completed from the last plan and the snapshot."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter

from nplconf.model import Family, LiveRule, PodPort, PodRef, PortMapping, RuleKey
from nplconf.rules import owner

NOBODY = PodRef("", "", "")
"""The Pod of a rule whose tag names no known owner: a forged tag, a cut one, or a hash that no Pod explains."""


def live_mappings(
    rules: Iterable[LiveRule],
    known: Iterable[PortMapping],
    node_ips: Mapping[Family, str],
    pods: Iterable[PodRef] = (),
) -> tuple[PortMapping, ...]:
    """Return one mapping per DNAT rule, sorted by key.

    Args:
        rules: As the backend has read them.
        known: Mappings with what a rule does not say: services, advertised address, the owner of a hashed tag. The
            first one that fits is used.
        node_ips: The advertised addresses, for rules that no known mapping explains.
        pods: The Pods of this node, the possible owners of hashed tags that no known mapping explains.

    """
    known = tuple(known)
    # a plain tuple as a key, because 10,000 of them are made in every run; the first of two with one key counts
    by_key = {(m.node_port, m.family, m.protocol): m for m in reversed(known) if m.via == "dnat"}
    found, unexplained = [], []
    for rule in rules:
        same = by_key.get(rule.key)
        if same and _says(same, rule) and owner.tag(same.pod, same.pod_port) == rule.tag:
            found.append(same)
        else:
            unexplained.append(rule)
    if unexplained:
        found += _explained(unexplained, known, node_ips, pods)
    return tuple(sorted(found, key=_ORDER))


_ORDER = attrgetter("node_port", "family", "protocol", "pod", "pod_ip")


def _explained(
    rules: Iterable[LiveRule], known: Iterable[PortMapping], node_ips: Mapping[Family, str], pods: Iterable[PodRef]
) -> list[PortMapping]:
    """Return the mappings of rules that do not equal a known mapping in the same place."""
    rules = tuple(rules)
    by_tag: dict[str, PortMapping] = {}
    by_place: dict[tuple[RuleKey, str], PortMapping] = {}
    for mapping in known:
        tag = owner.tag(mapping.pod, mapping.pod_port)
        by_tag.setdefault(tag, mapping)
        by_place.setdefault((mapping.key, tag), mapping)
    unknown = {(rule.tag, rule.pod_port) for rule in rules if owner.hashed(rule.tag) and rule.tag not in by_tag}
    by_hash = _by_hash(unknown, pods) if unknown else {}
    found = []
    for rule in rules:
        same_place = by_place.get((rule.key, rule.tag))
        if same_place and _says(same_place, rule):
            found.append(same_place)
        else:
            found.append(_mapping(rule, same_place, by_tag.get(rule.tag), node_ips, by_hash.get(rule.tag, NOBODY)))
    return found


def _by_hash(unknown: Collection[tuple[str, int]], pods: Iterable[PodRef]) -> dict[str, PodRef]:
    """Return the Pods whose tag for one of these ports is one of these hashes."""
    tags = {tag for tag, _ in unknown}
    ports = {port for _, port in unknown}
    found = ((owner.tag(pod, port), pod) for pod in pods for port in ports if owner.too_long(pod, port))
    return {tag: pod for tag, pod in found if tag in tags}


def _mapping(
    rule: LiveRule,
    same_place: PortMapping | None,
    same_owner: PortMapping | None,
    node_ips: Mapping[Family, str],
    behind_hash: PodRef,
) -> PortMapping:
    number, family, protocol = rule.key
    if same_owner:
        pod = same_owner.pod if same_owner.pod_port == rule.pod_port else NOBODY
    else:
        named = owner.parse(rule.tag)
        # a tag with another podPort than the rule's is forged and names no owner
        fits = named is not None and named.pod_port == rule.pod_port
        pod = _pod(named) if named and fits else behind_hash
    return PortMapping(
        node_port=number,
        protocol=protocol,
        family=family,
        node_ip=same_place.node_ip if same_place else node_ips.get(family, ""),
        pod=pod,
        pod_ip=rule.pod_ip,
        pod_port=rule.pod_port,
        services=(same_place or same_owner).services if same_place or same_owner else (),  # type: ignore[union-attr]
        source_ranges=rule.source_ranges,
    )


def _says(mapping: PortMapping, rule: LiveRule) -> bool:
    """Return whether a known mapping with the key and the tag of a rule equals it. If so, it is used as it is."""
    return (
        mapping.pod_ip == rule.pod_ip
        and mapping.pod_port == rule.pod_port
        and _are_same(mapping.source_ranges, rule.source_ranges)
        and mapping.via == "dnat"
    )


def _are_same(planned: Sequence[str], live: Sequence[str]) -> bool:
    """Return whether two lists of networks have the same addresses. nftables sorts and merges them."""
    if planned == live or not planned or not live:
        return planned == live
    from netaddr import cidr_merge

    return bool(cidr_merge(planned) == cidr_merge(live))


def _pod(named: owner.Owner) -> PodRef:
    namespace, _, name = named.pod.partition("/")
    return PodRef(namespace, name, named.uid)


def numbers(live: Iterable[PortMapping]) -> dict[PodPort, int]:
    """Return the port of each owner. If an owner has two (one rule is forged), the lowest one counts."""
    found: dict[PodPort, int] = {}
    for number, _, _, _, pod, _, port, _, via, _ in live:
        if via == "dnat" and pod != NOBODY:
            whose = PodPort(pod.key, port)
            if found.setdefault(whose, number) > number:
                found[whose] = number
    return found
