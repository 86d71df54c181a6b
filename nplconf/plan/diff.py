"""What would change: two sets of mappings -> changes, each with its reason. Plain data, and nobody to act on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nplconf.model import Change, Mapping

Why = Callable[[Mapping], str]


@dataclass(frozen=True, slots=True)
class Diff:
    """changes sorted: deletes, changes, adds, each by number. unchanged: mappings that are as they must be."""

    changes: tuple[Change, ...]
    unchanged: tuple[Mapping, ...]

    def count(self, action: str) -> int:
        """How many changes of one kind."""
        return sum(change.action == action for change in self.changes)


def diff(was: Iterable[Mapping], want: Iterable[Mapping], *, why_add: Why, why_delete: Why) -> Diff:
    """Subtract two sets of DNAT mappings.

    A mapping of before and one of after are the same one when Pod name, podPort, protocol and family are: moved to
    another number or address it is a change, never a delete and an add. What is left over at the same number (a rule
    whose tag names nobody) is a change too, as it is one rule that is rewritten.
    """
    before = sorted((m for m in was if m.via == "dnat"), key=_order)
    after = sorted((m for m in want if m.via == "dnat"), key=_order)
    pairs, left = _pair(before, after)
    changes = [Change("delete", why_delete(m), m, m) for m in left]
    unchanged = []
    for mapping, old in pairs:
        if old is None:
            changes.append(Change("add", why_add(mapping), mapping))
        elif reason := _difference(old, mapping):
            changes.append(Change("change", reason, mapping, old))
        else:
            unchanged.append(mapping)
    rank = {"delete": 0, "change": 1, "add": 2}
    return Diff(tuple(sorted(changes, key=lambda c: (rank[c.action], _order(c.mapping)))), tuple(unchanged))


def _pair(before: list[Mapping], after: list[Mapping]) -> tuple[list[tuple[Mapping, Mapping | None]], list[Mapping]]:
    """(each mapping of after with the one of before that it replaces), and those of before that nothing replaces."""
    exact = {(m.key, m.owner): m for m in before}
    by_owner: dict[object, list[Mapping]] = {}
    by_place: dict[object, list[Mapping]] = {}
    used: set[int] = set()
    for mapping in before:
        by_owner.setdefault((mapping.owner, mapping.protocol, mapping.family), []).append(mapping)
        by_place.setdefault(mapping.key, []).append(mapping)
    found: dict[int, Mapping] = {}
    wanted = {m.key for m in after}

    def take(mapping: Mapping, candidates: Iterable[Mapping | None]) -> None:
        for old in candidates:
            if old is not None and id(old) not in used and id(mapping) not in found:
                used.add(id(old))
                found[id(mapping)] = old

    for mapping in after:
        take(mapping, [exact.get((mapping.key, mapping.owner))])
    for mapping in after:
        take(mapping, by_owner.get((mapping.owner, mapping.protocol, mapping.family), ()))
    for mapping in after:
        take(mapping, (old for old in by_place.get(mapping.key, ()) if not old.pod.name))
    # A number that passes from one Pod to another is one delete and one add: two Pods are concerned.
    left = [m for m in before if id(m) not in used and (m.pod.name or m.key not in wanted)]
    return [(m, found.get(id(m))) for m in after], left


def _difference(old: Mapping, new: Mapping) -> str:
    """The first difference that a packet would notice; "" when there is none."""
    differences = {
        "number-moved": old.node_port != new.node_port,
        "owner-unknown": not old.pod.name,
        "pod-ip-changed": old.pod_ip != new.pod_ip,
        "pod-replaced": old.pod.uid != new.pod.uid,
        "target-changed": old.pod_port != new.pod_port,
        "source-ranges-changed": old.source_ranges != new.source_ranges,
    }
    return next((reason for reason, differs in differences.items() if differs), "")


def _order(mapping: Mapping) -> tuple[object, ...]:
    return (mapping.key, mapping.pod, mapping.pod_port, mapping.pod_ip)
