"""Pods whose annotation patch was denied: their rules are not written again in each run.

Without the annotation, no load balancer learns of the rule, so the rule is removed. It is written again when the Pod or
its requests change. After ten minutes it is tried anyway, since the admission policy may have changed.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nplconf.model import Failure, Pod, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form

PERIOD = 600.0
"""Seconds before a denied patch is tried again."""


class Denial(NamedTuple):
    """A denied patch.

    Attributes:
        fingerprint: A checksum of the Pod and its requests.
        at: Seconds of the boot-time clock.
        message: The API server's error message.
    """

    fingerprint: str
    at: float
    message: str


Denials = Mapping[str, Denial]
"""The denials by namespace/name of the Pod."""


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
    """Return the denials together with those of this run. refused: the failures of patches."""
    messages = {failure.subject: failure.message for failure in refused if failure.refused}
    prints = _fingerprints((pod for pod in pods if pod.ref.key in messages), rows) if messages else {}
    return {**denials, **{key: Denial(text, now, messages[key]) for key, text in prints.items()}}


def without(
    rows: tuple[PortMapping, ...], denials: Denials, pods: Iterable[Pod], form: Form = DEFAULT
) -> tuple[tuple[PortMapping, ...], tuple[Failure, ...]]:
    """Return the rows that no denied patch would publish, and a failure for each Pod with other rows."""
    if not denials:
        return rows, ()
    listed = {m for m in rows if m.via == "dnat" and m.pod.key in denials and m.family in form.families}
    out = listed - annotation.on_pods(listed, (pod for pod in pods if pod.ref.key in denials))
    failures = (
        Failure("publish", key, f"{denials[key].message} (denied before; tried again later)", refused=True)
        for key in sorted({m.pod.key for m in out})
    )
    return tuple(m for m in rows if m not in out), tuple(failures)


def _fingerprints(pods: Iterable[Pod], rows: Iterable[PortMapping]) -> dict[str, str]:
    """Return a checksum of each Pod and its requests."""
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
