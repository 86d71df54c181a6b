"""The node ports that annotations of Pods claim. Any tenant can write one, so a claim only names a free port to prefer.

A port that two owners claim is a hint for neither: after a lost state file nobody can tell which claim is forged.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nplconf.model import PodPort

_ANNOTATION_CHARACTERS = 256 * 1024


class Hints(NamedTuple):
    """numbers: the node port that each owner alone claims. contested: the ports that several claim, sorted."""

    numbers: dict[PodPort, int]
    contested: tuple[int, ...]


def hints(annotations: Mapping[PodPort, str | None], free: Callable[[int], bool]) -> Hints:
    """Return the first free port that the annotation of each owner claims. Each text is parsed once."""
    claims = {text: _claims(text, free) for text in {text for text in annotations.values() if text}}
    found = ((owner, claims[text].get(owner.port)) for owner, text in annotations.items() if text)
    claimed = {owner: number for owner, number in found if number is not None}
    count = Counter(claimed.values())
    return Hints(
        {owner: number for owner, number in claimed.items() if count[number] == 1},
        tuple(sorted(number for number, times in count.items() if times > 1)),
    )


def claimed_ports(annotation: str | None) -> frozenset[int]:
    """Return the podPorts for which an annotation claims a node port."""
    return frozenset(_claims(annotation, lambda _: True)) if annotation else frozenset()


def _claims(annotation: str, free: Callable[[int], bool]) -> dict[int, int]:
    """Return the first free node port that a text claims per podPort; none if it is no annotation."""
    if len(annotation) > _ANNOTATION_CHARACTERS:
        return {}
    try:
        entries = json.loads(annotation)
    except (ValueError, RecursionError):
        return {}
    return dict(reversed([(port, number) for port, number in _pairs(entries) if free(number)]))


def _pairs(entries: Any) -> Iterator[tuple[int, int]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            port, number = entry.get("podPort"), entry.get("nodePort")
            if type(port) is int and type(number) is int:
                yield port, number
