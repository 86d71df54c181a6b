"""What the kernel has, as mappings: the rules' own words, completed by what is remembered of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from nplconf.model import Family, LiveRule, PodPort, PodRef, PortMapping, RuleKey
from nplconf.rules import owner

NOBODY = PodRef("", "", "")
"""The Pod of a rule whose tag names none: forged, cut, or hashed and forgotten."""


def live_mappings(
    rules: Iterable[LiveRule],
    known: Iterable[PortMapping],
    node_ips: Mapping[Family, str],
    pods: Iterable[PodRef] = (),
) -> tuple[PortMapping, ...]:
    """One mapping per DNAT rule, sorted by key.

    known: mappings that say what a rule cannot (services, the address advertised, the owner behind a hashed tag), the
    best first. pods: this node's, the possible owners behind the hashed tags that no mapping explains.
    """
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
    return tuple(sorted(found, key=lambda m: (m.key, m.pod, m.pod_ip)))


def _by_hash(unknown: Collection[tuple[str, int]], pods: Iterable[PodRef]) -> dict[str, PodRef]:
    """The Pods whose tag for one of these ports is one of these hashes; other Pods have no hashed tag."""
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
        # a tag that does not fit the rule it stands on says nothing about who the rule is for
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
    """Whether a mapping of the rule's place and tag is all that the rule is: nearly always, and then it is that one."""
    return (
        mapping.pod_ip == rule.pod_ip
        and mapping.pod_port == rule.pod_port
        and _are_same(mapping.source_ranges, rule.source_ranges)
        and mapping.via == "dnat"
    )


def _are_same(planned: Sequence[str], live: Sequence[str]) -> bool:
    """Whether two lists of networks hold the same addresses: nftables has them sorted, and none within another."""
    if planned == live or not planned or not live:
        return planned == live
    from netaddr import cidr_merge

    return bool(cidr_merge(planned) == cidr_merge(live))


def _pod(named: owner.Owner) -> PodRef:
    namespace, _, name = named.pod.partition("/")
    return PodRef(namespace, name, named.uid)


def numbers(live: Iterable[PortMapping]) -> dict[PodPort, int]:
    """Who has which number. Where one Pod port has two (a forged rule), the lowest: any order gives the same."""
    found: dict[PodPort, int] = {}
    for mapping in live:
        if mapping.via == "dnat" and mapping.pod != NOBODY:
            whose, number = mapping.owner, mapping.node_port
            if found.setdefault(whose, number) > number:
                found[whose] = number
    return found
