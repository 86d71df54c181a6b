"""Kubernetes documents to the objects in them: Lists are flattened, and what is not understood is an error.

A file that is cut off, empty, or of another kind must never read as a cluster without Pods, since that would remove
every mapping. Therefore each document and each item of a list must be an object of a known form. A value inside an
object may be malformed: any tenant can write most of them, and `cluster.objects` decides what such a value means.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nplconf.errors import BadDataError

LISTS_DEEP = 16
"""Lists in Lists that are read. One program that merges dumps (`jq -s`) adds one level."""

_NAMED = frozenset(("Node", "Pod", "Service"))
"""The kinds that nplconf reads. The API server has none of them without a name."""
_CORE_KIND = re.compile(r"[A-Z][A-Za-z]*")
_GROUP_VERSION = re.compile(r"(?P<group>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)/v[0-9][a-z0-9]*")
_NO_OBJECTS = frozenset(("Status", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"))
"""What the API server answers instead of objects: an error, or a part of each object."""

Place = tuple[int, ...]
"""The number of the document, then the number of the item in each list that is open."""


class Located(NamedTuple):
    """An object of API group "" and its place."""

    place: Place
    kind: str
    raw: Mapping[str, Any]


def check(document: object, source: str) -> None:
    """Raise BadDataError for a document that is no Kubernetes object, or half of one."""
    if not isinstance(document, dict):
        raise BadDataError(f"{source}: is no Kubernetes object but {_noun(document)}")
    kind = document.get("kind")
    if not isinstance(kind, str) or not kind:
        raise BadDataError(f"{source}: a document without a kind: cut off, or no Kubernetes object")
    if "items" in document and not kind.endswith("List"):
        raise BadDataError(f"{source}: a {kind} with items: cut off, or no Kubernetes object")
    if _must_have_items(kind, document.get("apiVersion", "v1")) and not isinstance(document.get("items"), list):
        raise BadDataError(f"{source}: a {kind} whose items are {_noun(document.get('items'))}")


def objects_of(document: dict[str, Any], source: str, number: int = 0) -> Iterator[Located]:
    """Return every object of API group "" in a document: itself, or the items of its lists.

    Raises:
        BadDataError: The document, or an item, is not understood.
    """
    check(document, source)
    yield from _objects(document, document["kind"], document.get("apiVersion", "v1"), source, (number,))


def listed(raw: object, parent: Mapping[str, Any], source: str, place: Place) -> Iterable[Located]:
    """Return every object of API group "" in one item of a list.

    Args:
        raw: The item.
        parent: The list. It says what its items leave out: a PodList of the API server has items without a kind.
        source: The name of the file, for errors.
        place: The place of the item.

    Raises:
        BadDataError: The item is not understood.
    """
    version = parent.get("apiVersion", "v1")
    if "/" in str(version) and not (isinstance(raw, dict) and raw.get("apiVersion") == "v1"):
        return ()  # another API group decides what its lists hold
    if not isinstance(raw, dict):
        raise BadDataError(f"{_named(source, place)} is no Kubernetes object but {_noun(raw)}")
    of_list = str(parent.get("kind", "")).removesuffix("List")
    return _objects(raw, raw.get("kind", of_list), raw.get("apiVersion", version), source, place)


def _objects(raw: dict[str, Any], kind: object, version: object, source: str, place: Place) -> Iterable[Located]:
    if not isinstance(kind, str) or not kind:
        raise BadDataError(f"{_named(source, place)} has no kind: cut off, or no Kubernetes object")
    if kind in _NO_OBJECTS:
        raise BadDataError(f"{_named(source, place)} is no object of a cluster but a {kind}{_message(raw)}")
    if version != "v1" and not (isinstance(version, str) and _GROUP_VERSION.fullmatch(version)):
        raise BadDataError(f"{_named(source, place)} has no known apiVersion: must be v1 or GROUP/VERSION")
    if kind.endswith("List") and isinstance(raw.get("items"), list):
        return _items(raw["items"], {"kind": kind, "apiVersion": version}, source, place)
    if version != "v1":
        return ()
    _check_core(raw, kind, source, place)
    return (Located(place, kind, raw),)


def _items(items: list[Any], parent: Mapping[str, Any], source: str, place: Place) -> Iterator[Located]:
    if len(place) > LISTS_DEEP:
        raise BadDataError(f"{source}: more than {LISTS_DEEP} Lists in one another")
    for number, item in enumerate(items):
        yield from listed(item, parent, source, (*place, number))


def _check_core(raw: Mapping[str, Any], kind: str, source: str, place: Place) -> None:
    """Refuse an object that no API server has, but that may stand for one which is served now."""
    if kind in _NAMED:
        metadata = raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not name:
            raise BadDataError(f"{_named(source, place)} is a {kind} without metadata.name")
    elif not _CORE_KIND.fullmatch(kind):
        raise BadDataError(f"{_named(source, place)} has no known kind: the kinds of v1 are words as Pod or Service")
    if kind.endswith("List") or "items" in raw:
        raise BadDataError(f"{_named(source, place)} is a {kind} whose items are {_noun(raw.get('items'))}")


def _must_have_items(kind: str, version: object) -> bool:
    return kind == "List" or (kind.endswith("List") and version == "v1")


def _message(raw: Mapping[str, Any]) -> str:
    message = raw.get("message")
    return f" ({message[:200]})" if isinstance(message, str) else ""


def _named(source: str, place: Place) -> str:
    items = ".".join(f"items[{number}]" for number in place[1:])
    return f"{source}: {items or 'a document'}"


def _noun(value: object) -> str:
    nouns = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return nouns.get(type(value), "nothing")
