"""What would change: two sets of mappings -> changes, each with its reason. Plain data, and nobody to act on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from nplconf.model import Change, PortMapping

_Place = tuple[int, str, str, str, str, int]
_target = attrgetter("node_port", "pod", "pod_ip", "source_ranges")
Why = Callable[[PortMapping], str]


@dataclass(frozen=True, slots=True)
class Diff:
    """changes: as `ordered`. unchanged: mappings that are as they must be."""

    changes: tuple[Change, ...]
    unchanged: tuple[PortMapping, ...]

    def count(self, action: str) -> int:
        """How many changes of one kind."""
        return sum(change.action == action for change in self.changes)


def compare(was: Iterable[PortMapping], want: Iterable[PortMapping]) -> Diff:
    """Subtract two plans: all that Pods would be told counts, rule or none."""
    return diff(was, want, why_add=lambda _: "new", why_delete=lambda _: "gone", rules_only=False)


def diff(
    was: Iterable[PortMapping], want: Iterable[PortMapping], *, why_add: Why, why_delete: Why, rules_only: bool = True
) -> Diff:
    """Subtract two sets of mappings: of rules alone what is DNAT, and in it what a packet would notice.

    A mapping of before and one of after are the same one when Pod name, podPort, protocol and family are: moved to
    another number or address it is a change, never a delete and an add. What is left over at the same number (a rule
    whose tag names nobody) is a change too, as it is one rule that is rewritten.
    """
    if rules_only:
        was, want = (m for m in was if m.via == "dnat"), (m for m in want if m.via == "dnat")
    same, before, after = _split(was, want)
    pairs, left = _pair(before, after)
    changes = [Change("delete", why_delete(m), m, m) for m in left]
    unchanged = []
    for mapping, old in (*same, *pairs):
        if old is None:
            changes.append(Change("add", why_add(mapping), mapping))
        elif reason := _difference(old, mapping, rules_only=rules_only):
            changes.append(Change("change", reason, mapping, old))
        else:
            unchanged.append(mapping)
    return Diff(ordered(changes), tuple(unchanged))


def ordered(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return changes sorted: deletes, changes, repairs, adds, each by number."""
    rank = {"delete": 0, "change": 1, "repair": 2, "add": 3}
    return tuple(sorted(changes, key=lambda c: (rank[c.action], _order(c.mapping))))


def _split(
    was: Iterable[PortMapping], want: Iterable[PortMapping]
) -> tuple[list[tuple[PortMapping, PortMapping]], list[PortMapping], list[PortMapping]]:
    """(what is at its place already, with what was there), and the rest of before, in a stable order, and of after.

    On most runs there is no rest, and nothing is sorted. A rule that is there twice counts once: the first one serves.
    """
    before: dict[_Place, PortMapping] = {}
    for mapping in was:
        before.setdefault(_place(mapping), mapping)
    same, after = [], []
    for mapping in want:
        if old := before.pop(_place(mapping), None):
            same.append((mapping, old))
        else:
            after.append(mapping)
    return same, sorted(before.values(), key=_order), after


def _pair(
    before: list[PortMapping], after: list[PortMapping]
) -> tuple[list[tuple[PortMapping, PortMapping | None]], list[PortMapping]]:
    """(each mapping of after with the one of before that it replaces), and those of before that nothing replaces."""
    by_owner: dict[object, list[PortMapping]] = {}
    by_place: dict[object, list[PortMapping]] = {}
    for mapping in reversed(before):
        by_owner.setdefault((mapping.owner, mapping.protocol, mapping.family), []).append(mapping)
        if not mapping.pod.name:
            by_place.setdefault(mapping.key, []).append(mapping)
    pairs = []
    for mapping in after:
        candidates = by_owner.get((mapping.owner, mapping.protocol, mapping.family)) or by_place.get(mapping.key)
        pairs.append((mapping, candidates.pop() if candidates else None))
    # What is left at a wanted number and names nobody is overwritten; a number that passes from one Pod to another is
    # one delete and one add, as two Pods are concerned.
    replaced = {id(old) for _, old in pairs}
    wanted = {m.key for m in after}
    return pairs, [m for m in before if id(m) not in replaced and (m.pod.name or m.key not in wanted)]


def _place(mapping: PortMapping) -> _Place:
    """Number, family, protocol and owner, without a value of its own: there are 10,000."""
    pod = mapping.pod
    return mapping.node_port, mapping.family, mapping.protocol, pod.namespace, pod.name, mapping.pod_port


def _difference(old: PortMapping, new: PortMapping, *, rules_only: bool) -> str:
    """The first difference that counts; "" when there is none. Both are for one Pod's port, or one number whose rule
    names nobody.
    """
    told = rules_only or (old.via, old.node_ip, old.services) == (new.via, new.node_ip, new.services)
    if told and _target(old) == _target(new):
        return ""
    differences = {
        "via-changed": old.via != new.via,
        "number-moved": old.node_port != new.node_port,
        "owner-unknown": not old.pod.name,
        "pod-ip-changed": old.pod_ip != new.pod_ip,
        "pod-replaced": old.pod.uid != new.pod.uid,
        "source-ranges-changed": old.source_ranges != new.source_ranges,
        "node-ip-changed": not rules_only and old.node_ip != new.node_ip,
        "services-changed": not rules_only and old.services != new.services,
    }
    return next(reason for reason, differs in differences.items() if differs)


def _order(mapping: PortMapping) -> tuple[object, ...]:
    return (mapping.key, mapping.pod, mapping.pod_port, mapping.pod_ip)
