"""Pods whose annotation patch was denied: their rules are not made again in each run.

A denied patch (an admission policy, for example) leaves a rule that no load balancer learns of, so the rule is removed.
It is made again when the Pod or what Services ask of it changes, or after ten minutes: the policy may have changed.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nplconf.model import Failure, Pod, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form

PERIOD = 600.0
"""Seconds after which a denied patch is tried again."""


class Denial(NamedTuple):
    """fingerprint: what the patch was denied for. at: seconds, boot-time clock. message: what the API server said."""

    fingerprint: str
    at: float
    message: str


Denials = Mapping[str, Denial]
"""namespace/name of a Pod -> its denial."""


def current(denials: Denials, pods: Iterable[Pod], rows: Iterable[PortMapping], *, now: float) -> dict[str, Denial]:
    """Return the denials that still hold. rows: the plan's mappings."""
    if not denials:
        return {}
    prints = _fingerprints((pod for pod in pods if pod.ref.key in denials), rows)
    return {
        key: denial
        for key, denial in denials.items()
        if prints.get(key) == denial.fingerprint and 0 <= now - denial.at < PERIOD
    }


def added(
    denials: Denials, refused: Iterable[Failure], pods: Iterable[Pod], rows: Iterable[PortMapping], *, now: float
) -> dict[str, Denial]:
    """Return the denials with those of this run. refused: the failures of patches."""
    messages = {failure.subject: failure.message for failure in refused if failure.refused}
    prints = _fingerprints((pod for pod in pods if pod.ref.key in messages), rows) if messages else {}
    return {**denials, **{key: Denial(text, now, messages[key]) for key, text in prints.items()}}


def without(
    rows: tuple[PortMapping, ...], denials: Denials, pods: Iterable[Pod], form: Form = DEFAULT
) -> tuple[tuple[PortMapping, ...], tuple[Failure, ...]]:
    """Return the rows without those that a denied patch would publish, and a failure for each Pod concerned."""
    if not denials:
        return rows, ()
    known = {(p.ref, e) for p in pods if p.ref.key in denials for e in annotation.parse(p.annotation)}
    listed = (m for m in rows if m.via == "dnat" and m.pod.key in denials and m.family in form.families)
    out = {m for m in listed if (m.pod, annotation.entry(m)) not in known}
    failures = (
        Failure("publish", key, f"{denials[key].message} (denied before; tried again later)", refused=True)
        for key in sorted({m.pod.key for m in out})
    )
    return tuple(m for m in rows if m not in out), tuple(failures)


def _fingerprints(pods: Iterable[Pod], rows: Iterable[PortMapping]) -> dict[str, str]:
    """Return a short word per Pod that is another one when the Pod or what is asked of it changes."""
    here = {pod.ref.key: pod for pod in pods}
    asked: dict[str, list[PortMapping]] = {key: [] for key in here}
    for row in rows:
        if row.pod.key in asked:
            asked[row.pod.key].append(row)
    return {key: _word((pod, sorted(pod.labels.items()), asked[key])) for key, pod in here.items()}


def _word(values: tuple[Pod, list[tuple[str, str]], list[PortMapping]]) -> str:
    pod, labels, rows = values
    facts = (pod.ref, pod.version, labels, pod.ips, pod.ports, pod.annotation, sorted(rows))
    return f"{zlib.crc32(repr(facts).encode('utf-8', 'surrogatepass')):08x}"
