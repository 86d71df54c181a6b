"""Files of Kubernetes objects, as JSON or YAML: bytes to documents, documents to the objects in them, and back.

A file that is cut off, empty, or of another kind must never read as a cluster without Pods, since that would remove
every mapping. So each document says its kind, each list has its items, and anything else is an error that names the
file. kubectl prints `kind: List` after the items: a dump that was cut off has none, or a part of it. An item that is
malformed is passed over, with all the others served.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nplconf.errors import BadDataError

YAML_BYTES = 256 * 2**20
"""Largest YAML file that is read: some 120,000 Pods, and a minute of work. JSON is bounded by the reader alone."""

TYPED_LISTS = {"NodeList": "Node", "PodList": "Pod", "ServiceList": "Service"}


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds. indented: JSON over many lines. documents: each a mapping with a kind; one for JSON."""

    format: Literal["json", "yaml"]
    indented: bool
    documents: tuple[dict[str, Any], ...]


class Located(NamedTuple):
    """An object and its place: the document's number, and the number among its items, None where it is the document."""

    document: int
    item: int | None
    kind: str
    raw: Mapping[str, Any]


def parse(data: bytes, source: str) -> Content:
    """The documents of a file; JSON when it begins as JSON objects do. Raises BadDataError naming the source."""
    text = _decoded(data, source)
    start = text.lstrip()[:1]
    if not start:
        raise BadDataError(f"{source}: is empty")
    documents = _parse_json(text, source) if start in "{[" else _parse_yaml(text, len(data), source)
    if not documents:
        raise BadDataError(f"{source}: holds no object")
    for document in documents:
        check(document, source)
    indented = re.match(r"\s*\{[ \t\r]*\n", text) is not None
    return Content("json" if start in "{[" else "yaml", indented, tuple(documents))


def dump(content: Content) -> bytes:
    """The file again, in its own format. Raises RecursionError for a nesting that can be read but not written."""
    if content.format == "yaml":
        from nplconf.cluster.file import yaml_stream

        return yaml_stream.dump(list(content.documents)).encode()
    indent, separators = (4, None) if content.indented else (None, (",", ":"))
    return (json.dumps(content.documents[0], indent=indent, separators=separators) + "\n").encode()


def merged(contents: list[Content]) -> Content:
    """All objects of several files as one `kind: List`, in the first file's format."""
    items = [_with_kind(o) for content in contents for o in objects(content)]
    document = {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
    return Content(contents[0].format, contents[0].indented, (document,))


def objects(content: Content) -> Iterator[Located]:
    """Every object of API group "" in a file: documents themselves, and the items of lists."""
    for number, document in enumerate(content.documents):
        kind = document["kind"]
        if not _is_list(document):
            if document.get("apiVersion", "v1") == "v1":
                yield Located(number, None, kind, document)
            continue
        for place, raw in enumerate(document["items"]):
            if isinstance(raw, dict) and raw.get("apiVersion", document.get("apiVersion", "v1")) == "v1":
                # the items of a PodList as the API server sends it say no kind
                yield Located(number, place, str(raw.get("kind", TYPED_LISTS.get(kind, ""))), raw)


def replaced(content: Content, changes: Mapping[tuple[int, int | None], dict[str, Any]]) -> Content:
    """The file with other objects at some places; nothing of the old one is touched, as YAML aliases share values."""
    documents = list(content.documents)
    items: dict[int, list[Any]] = {}
    for (number, place), raw in changes.items():
        if place is None:
            documents[number] = raw
            continue
        if number not in items:
            items[number] = list(documents[number]["items"])
        items[number][place] = raw
    for number, changed in items.items():
        documents[number] = {**documents[number], "items": changed}
    return Content(content.format, content.indented, tuple(documents))


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDataError(f"{source}: is no UTF-8 text (byte {error.start})") from None


def _parse_json(text: str, source: str) -> list[Any]:
    try:
        return [json.loads(text, parse_constant=no_constant)]
    except json.JSONDecodeError as error:
        raise BadDataError(f"{source}, line {error.lineno}: not JSON: {error.msg}") from None
    except ValueError as error:
        raise BadDataError(f"{source}: not JSON: {error}") from None
    except RecursionError:
        raise BadDataError(f"{source}: nested too deeply") from None


def too_large(source: str) -> BadDataError:
    """What is said of a file that is no JSON and beyond YAML's limit."""
    return BadDataError(f"{source}: YAML of more than {YAML_BYTES >> 20} MiB; JSON may be larger")


def no_constant(name: str) -> None:
    """NaN and its like, which are no JSON."""
    raise ValueError(f"{name} is no number")


def _parse_yaml(text: str, size: int, source: str) -> list[Any]:
    if size > YAML_BYTES:
        raise too_large(source)
    from nplconf.cluster.file import yaml_stream

    # a document that is none is found before the hundred megabytes behind it are read
    return yaml_stream.load(text, source, check)


def check(document: object, source: str) -> None:
    """Raises BadDataError for a document that is no Kubernetes object, or half of one."""
    if not isinstance(document, dict):
        raise BadDataError(f"{source}: is no Kubernetes object but {_noun(document)}")
    kind = document.get("kind")
    if not isinstance(kind, str) or not kind:
        raise BadDataError(f"{source}: a document without a kind: cut off, or no Kubernetes object")
    if "items" in document and not kind.endswith("List"):
        raise BadDataError(f"{source}: a {kind} with items: cut off, or no Kubernetes object")
    if (kind == "List" or kind in TYPED_LISTS) and not isinstance(document.get("items"), list):
        raise BadDataError(f"{source}: a {kind} whose items are {_noun(document.get('items'))}")


def _is_list(document: Mapping[str, Any]) -> bool:
    return document["kind"].endswith("List") and isinstance(document.get("items"), list)


def _with_kind(located: Located) -> Mapping[str, Any]:
    return located.raw if "kind" in located.raw else {"apiVersion": "v1", "kind": located.kind, **located.raw}


def _noun(value: object) -> str:
    nouns = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return nouns.get(type(value), "nothing")
