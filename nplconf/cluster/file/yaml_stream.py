"""YAML of Kubernetes objects: libyaml's events to plain data, and back.

Not PyYAML's loader: that takes 4.8 s for a dump of 2,000 Pods (4.3 MB) where this takes 0.8 s, reads `061000` as octal
and a plain timestamp as a date, and nests and expands without bound. Here a plain scalar is null, a boolean, a decimal
number as JSON has them, or else a string, and every key is a string, so that what is written back reads as it did.
Aliases are followed, since programs that print shared lists make them, but what they add is bounded.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from nplconf.errors import BadDataError
from nplconf.files.strict_yaml import PARSER_TOO_DEEP
from nplconf.files.yaml_builder import Builder, Frame

DEPTH = 200
"""Deepest nesting that is read; Kubernetes' deepest built-in objects have 20 levels."""
_TOO_DEEP = f"nested deeper than {DEPTH} levels"
ALIASED_NODES = 2_000_000
"""The most nodes that all aliases together may add. 10,000 Pods that share ports and labels need a tenth."""

# libyaml's, where PyYAML was built with it
_EMITTER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
# the dot is what both YAML versions agree on: `12e5` is a string to programs of the older one
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?")
# what every YAML reader takes for a string without quotes, once the words below are excluded
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*|(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]+)?")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"))
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")


def load(text: str, source: str, check: Callable[[Any, str], None] = lambda *_: None) -> list[Any]:
    """Return the documents that are not empty. Raises BadDataError that names the source and, if known, the line.

    check: called with each document and the source as soon as it is complete; may raise BadDataError, too.
    """
    builder = _Builder(source, check)
    try:
        builder.take(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}, line {mark.line + 1}" if mark is not None else source
        problem = error.problem or error.context
        why = _TOO_DEEP if problem == PARSER_TOO_DEEP else f"not YAML: {problem}"
        raise BadDataError(f"{place}: {why}") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise BadDataError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    return builder.documents


def dump(documents: list[Any]) -> str:
    """Return the documents as text in kubectl's layout, without aliases, keys in their order."""
    stream = io.StringIO()
    emitter = _EMITTER(stream, width=2**31 - 1, allow_unicode=True)
    emitter.emit(StreamStartEvent())
    for number, document in enumerate(documents):
        emitter.emit(DocumentStartEvent(explicit=number > 0))
        _emit(emitter, document)
        emitter.emit(DocumentEndEvent(explicit=False))
    emitter.emit(StreamEndEvent())
    return stream.getvalue()


class _Builder(Builder):
    """Builds the documents; raises BadDataError that names the line of the first problem."""

    def __init__(self, source: str, check: Callable[[Any, str], None]) -> None:
        self.source = source
        self.check = check
        self.documents: list[Any] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0
        self.aliased = 0
        super().__init__(DEPTH, Frame(self.documents, None))

    def document_start(self, event: Any) -> None:
        del event
        self.anchors.clear()

    def document_end(self, event: Any) -> None:
        del event
        if self.documents[-1] is None:
            self.documents.pop()
        else:
            self.check(self.documents[-1], self.source)

    def mark(self, event: Any) -> tuple[str | None, int]:
        """Return the anchor, and the number of values before it."""
        return event.anchor, self.nodes

    def plain(self, event: Any) -> Any:
        try:
            return resolved(event.value)
        except ValueError:
            raise self._error(event, "a number with too many digits") from None

    def key(self, frame: Frame, event: Any) -> None:
        if event.value in frame.items:
            raise self._error(event, f"the key {event.value[:80]!r} is there twice")
        if event.value == "<<" and event.implicit[0]:
            raise self._error(event, "merge keys (<<) are not supported")
        frame.key = event.value

    def put(self, frame: Frame, value: Any, event: Any) -> None:
        self.nodes += 1
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.place(frame, value)

    def close(self, frame: Frame, done: Frame) -> None:
        self.nodes += 1
        anchor, before = done.mark
        if anchor:
            self.anchors[anchor] = (done.items, self.nodes - before)
        self.place(frame, done.items)

    def alias(self, event: Any) -> None:
        frame = self.stack[-1]
        if event.anchor not in self.anchors:
            raise self._error(event, f"the alias *{event.anchor[:80]} has nothing to stand for")
        if frame.key is None:
            self.no_key(event, "an alias")
        value, size = self.anchors[event.anchor]
        self.nodes += size
        self.aliased += size
        if self.aliased > ALIASED_NODES:
            raise self._error(event, f"aliases stand for more than {ALIASED_NODES} values")
        self.place(frame, value)

    def decoration(self, event: Any) -> None:
        if event.tag not in (_STRING_TAGS if isinstance(event, ScalarEvent) else _STRING_TAGS[:2]):
            raise self._error(event, f"the tag {event.tag[:80]!r} is not expected here")

    def no_key(self, event: Any, what: str) -> None:
        raise self._error(event, f"a key that is {'no string' if what != 'an alias' else what}")

    def too_deep(self, event: Any) -> None:
        raise self._error(event, _TOO_DEEP)

    def _error(self, event: Any, message: str) -> BadDataError:
        return BadDataError(f"{self.source}, line {event.start_mark.line + 1}: {message}")


def resolved(text: str) -> Any:
    """Return the value of a plain scalar. Raises ValueError for an integer of thousands of digits."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "-0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and abs(value := float(text)) != float("inf"):
            return value
    return text


def _emit(emitter: Any, value: Any) -> None:
    if isinstance(value, dict):
        emitter.emit(MappingStartEvent(None, None, implicit=True, flow_style=not value))
        for key, member in value.items():
            emitter.emit(_scalar_of(key))
            _emit(emitter, member)
        emitter.emit(MappingEndEvent())
    elif isinstance(value, list):
        emitter.emit(SequenceStartEvent(None, None, implicit=True, flow_style=not value))
        for member in value:
            _emit(emitter, member)
        emitter.emit(SequenceEndEvent())
    else:
        emitter.emit(_scalar_of(value))


def _scalar_of(value: Any) -> ScalarEvent:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
        return ScalarEvent(None, None, (plain, True), value, style="|" if "\n" in value else None)
    return ScalarEvent(None, None, (True, False), _literal(value))


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
