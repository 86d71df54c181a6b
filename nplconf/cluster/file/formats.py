"""Files of Kubernetes objects, as JSON or YAML: bytes to documents, documents to the objects in them, and back.

A file that is cut off, empty, or of another kind must never read as a cluster without Pods, since that would remove
every mapping. So each document says its kind, each list has its items, and anything else is an error that names the
file. kubectl prints `kind: List` after the items: a dump that was cut off has none, or a part of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nplconf.cluster.documents import Located, Place, check, objects_of
from nplconf.cluster.json_window import no_constant
from nplconf.errors import BadDataError
from nplconf.files.reading import foreign_encoding

YAML_BYTES = 256 * 2**20
"""Largest YAML file that is read: some 120,000 Pods, and a minute of work. JSON is bounded by the reader alone."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file.

    Attributes:
        source: The name of the file, for errors.
        indented: The file is JSON over many lines.
        documents: Each is a mapping with a kind. JSON has one.
    """

    source: str
    format: Literal["json", "yaml"]
    indented: bool
    documents: tuple[dict[str, Any], ...]


def parse(data: bytes, source: str) -> Content:
    """Return the content of a file, JSON if it begins with `{`, else YAML. Raises BadDataError with the source."""
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
    return Content(source, "json" if start in "{[" else "yaml", indented, tuple(documents))


def dump(content: Content) -> bytes:
    """Return the file in its own format. Raises RecursionError for a nesting that can be read but not written."""
    if content.format == "yaml":
        from nplconf.cluster.file import yaml_stream

        return yaml_stream.dump(list(content.documents)).encode()
    indent, separators = (4, None) if content.indented else (None, (",", ":"))
    return (json.dumps(content.documents[0], indent=indent, separators=separators) + "\n").encode()


def merged(contents: list[Content]) -> Content:
    """Return all objects of several files as one `kind: List`, in the format of the first file."""
    items = [_with_kind(o) for content in contents for o in objects(content)]
    document = {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
    return replace(contents[0], documents=(document,))


def objects(content: Content) -> Iterator[Located]:
    """Return every object of API group "" in a file. Raises BadDataError for what is not understood."""
    for number, document in enumerate(content.documents):
        yield from objects_of(document, content.source, number)


def replaced(content: Content, changes: Mapping[Place, dict[str, Any]]) -> Content:
    """Return the file with other objects at some places. Values of the old one stay, as YAML aliases share them."""
    changed = list(content.documents)
    for number in {place[0] for place in changes}:
        inside = {place[1:]: raw for place, raw in changes.items() if place[0] == number}
        changed[number] = _replaced(changed[number], inside)
    return replace(content, documents=tuple(changed))


def _replaced(raw: dict[str, Any], changes: Mapping[Place, dict[str, Any]]) -> dict[str, Any]:
    if () in changes:
        return changes[()]
    inside: dict[int, dict[Place, dict[str, Any]]] = {}
    for (number, *rest), item in changes.items():
        inside.setdefault(number, {})[tuple(rest)] = item
    items = list(raw["items"])
    for number, deeper in inside.items():
        items[number] = _replaced(items[number], deeper)
    return {**raw, "items": items}


def _decoded(data: bytes, source: str) -> str:
    if encoding := foreign_encoding(data):
        raise BadDataError(f"{source}: {encoding}")
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
    """Return the error for a file that is no JSON and larger than the limit for YAML."""
    return BadDataError(f"{source}: YAML of more than {YAML_BYTES >> 20} MiB; JSON may be larger")


def _parse_yaml(text: str, size: int, source: str) -> list[Any]:
    if size > YAML_BYTES:
        raise too_large(source)
    from nplconf.cluster.file import yaml_stream

    # a document that is none is found before the hundred megabytes behind it are read
    return yaml_stream.load(text, source, check)


def _with_kind(located: Located) -> Mapping[str, Any]:
    return located.raw if "kind" in located.raw else {"apiVersion": "v1", "kind": located.kind, **located.raw}
