"""Parse plans, policies and configs to plain data, without guessing.

PyYAML's constructors guess: they read `061000` as 25088 and `1:30` as 90, use the last one of duplicate keys, and
expand nine lines of aliases to a gigabyte. Therefore this reader is built on PyYAML's events. A plain scalar is true,
false, null (also `~` and the empty scalar) or a decimal integer; any other is a string, which the schema refuses where
it requires a number. Quoted scalars are strings. Anchors, aliases, tags, merges, directives, duplicate keys, keys that
are not strings and further documents are problems, each with its line and path. Reading goes on after them.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nplconf.characters import escaped
from nplconf.files.yaml_builder import NOWHERE, Builder, Frame

Path = tuple[str | int, ...]
"""Keys and list indexes from the root of a document."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A reason why a document cannot be used.

    Attributes:
        line: Counted from 1.
        path: As `show_path` writes it; "" for the whole document.
        rule: A stable name in kebab-case.
    """

    file: str
    line: int
    path: str
    rule: str
    message: str


LOST = frozenset(("yaml-alias", "integer-too-large"))
"""Rules of problems after which a value is read as null. After all others the document is read as written."""


class Limits(NamedTuple):
    """Limits, checked before the data is built. A plan of 65,000 rows has 18 to 25 MiB and a million entries."""

    characters: int = 32 * 1024 * 1024
    depth: int = 16
    entries: int = 2_000_000
    separators: int = 1_300_000
    """Line breaks and commas, counted in 10 ms. A plan of 65,000 rows has 850,000."""
    flat: int = 10_000
    """Keys of a mapping, and values of a list other than mappings. Only lists of mappings are long in any document."""
    rows: int = 262_140
    """Mappings in a list. A node has 65,535 ports, each in two families and protocols."""
    problems: int = 1_000
    """Reading ends after so many."""
    long: int = 12_000
    """Rows of a list that are read before a sample of them is judged."""
    sample: int = 500
    """The first rows of such a list."""


class Lines:
    """The lines of a mapping or list and of its content. For an entry of a mapping, the line of its key."""

    __slots__ = ("inside", "own")

    def __init__(self, own: int) -> None:
        self.own = own
        self.inside: dict[str | int, int | Lines] = {}


class Document(NamedTuple):
    """The result of reading a text. After an early end, value is None and `complete` is False."""

    file: str
    value: Any
    lines: Lines
    problems: tuple[Problem, ...]
    complete: bool

    def line(self, path: Iterable[str | int]) -> int:
        """Return the line of `path`, or of its nearest parent that exists."""
        lines: int | Lines = self.lines
        for step in path:
            if isinstance(lines, int) or step not in lines.inside:
                break
            lines = lines.inside[step]
        return lines if isinstance(lines, int) else lines.own

    def problem(self, path: Sequence[str | int], rule: str, message: str) -> Problem:
        """Return a problem at `path`."""
        return Problem(self.file, self.line(path), show_path(path), rule, message)


Judge = Callable[[Document, Path], Sequence[Problem]]
"""Judges the first rows of the long list at a path. If there are problems, reading ends with them."""


def show_path(path: Iterable[str | int]) -> str:
    """Return a path as text: `spec.mappings[3].nodePort`, or "" for the document itself.

    Keys that are no words are quoted in brackets.
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


def shown(value: object) -> str:
    """Return a value for a message: short, on one line, without characters that act on a terminal."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > _SHOWN:
        return shown(value[:_SHOWN]) + "..."
    return json.dumps(value)


def load(text: str, *, source: str, limits: Limits | None = None, judge: Judge | None = None) -> Document:
    """Read one document. Never raises: every fault of the text is a problem in the result.

    Args:
        text: The YAML text.
        source: The file's name in problems.
        limits: The limits; None for the default ones.
        judge: Judges a sample of each long list. A file of 32 MiB with wrong rows takes 10 s to read, 0.5 s to judge.
    """
    reader = _Reader(source, limits or Limits(), judge)
    if reader.may_read(text):
        reader.read(text)
    return reader.document()


PARSER_TOO_DEEP = "exceeded maximum nesting depth"
"""The error of newer libyaml for a thousand brackets. It comes before the first event: the parser looks for a key."""
_SHOWN = 60
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,60}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DIGITS = 18
"""No valid value has more, and 5,000 digits would make int() raise."""
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
# Controls (C0, DEL, C1), other line breaks and lone CRs move a terminal's cursor or change YAML's line count.
# Bidirectional controls show a reviewer another text than the parsed one. Half surrogates and noncharacters: no text.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]|\r(?!\n)",
)


class _StopReading(Exception):  # noqa: N818 - control flow, not an error: the problem is recorded already
    """The rest of the text is not reliable or too large to read."""


class _Reader(Builder):
    """Builds the document and collects its problems."""

    def __init__(self, file: str, limits: Limits, judge: Judge | None = None) -> None:
        self.file = file
        self.limits = limits
        self.judge = judge
        self.problems: list[Problem] = []
        self.complete = False
        self.documents = 0
        self.entries = 0
        self.most = limits.entries
        # the document is the only entry of a list that is not part of any path
        self.root: list[Any] = []
        super().__init__(limits.depth, Frame(self.root, Lines(1)))

    def document(self) -> Document:
        lines = self.stack[0].mark.inside.get(0, 1)
        return Document(
            self.file,
            self.root[0] if self.complete and self.root else None,
            Lines(lines) if isinstance(lines, int) else lines,
            tuple(self.problems),
            self.complete,
        )

    def note(self, line: int, rule: str, message: str, *more: str | int) -> None:
        steps = [frame.key for frame in self.stack[1:]]
        path = show_path([step for step in (*steps, *more) if step is not None and step != NOWHERE])
        self.problems.append(Problem(self.file, line, path, rule, message))
        if len(self.problems) == self.limits.problems:
            self.stop(line, "too-many-problems", f"{self.limits.problems} problems: the rest was not read")

    def stop(self, line: int, rule: str, message: str) -> None:
        self.problems.append(Problem(self.file, line, "", rule, message))
        raise _StopReading

    def may_read(self, text: str) -> bool:
        """Check the limits that cost next to nothing."""
        if len(text) > self.limits.characters:
            message = f"larger than {self.limits.characters} characters"
            self.problems.append(Problem(self.file, 1, "", "too-large", message))
            return False
        if text.count("\n") + text.count(",") > self.limits.separators:
            message = f"more than {self.limits.separators:,} lines and list items"
            self.problems.append(Problem(self.file, 1, "", "too-many-entries", message))
            return False
        if found := _FORBIDDEN.search(text):
            line = text.count("\n", 0, found.start()) + 1
            message = f"the character U+{ord(found.group()):04X} is not allowed; write it as an escape in double quotes"
            self.problems.append(Problem(self.file, line, "", "control-character", message))
            return False
        return True

    def read(self, text: str) -> None:
        """Read the events of a text to its end, or to the point where it cannot be used any more."""
        import yaml

        try:
            self.take(text)
            self.complete = True
        except yaml.YAMLError as error:
            self.problems.append(_syntax(self.file, error, self.limits))
        except _StopReading:
            pass

    def document_start(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.version or event.tags:
            self.note(line, "yaml-directive", "directives are not allowed")
        self.documents += 1
        if self.documents > 1:
            self.complete = True  # the first document is complete, so its other problems are reported
            self.stop(line, "yaml-second-document", "a second document begins: one file is one document")

    def plain(self, event: Any) -> str | int | bool | None:
        """Return the value of an unquoted scalar."""
        text: str = event.value
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _INTEGER.fullmatch(text):
            return text
        if len(text.lstrip("-")) > _DIGITS:
            self.note(_line(event), "integer-too-large", f"an integer has at most {_DIGITS} digits")
            return None
        return int(text)

    def key(self, frame: Frame, event: Any) -> None:
        """Use a scalar as the key of the next value."""
        line, key = _line(event), event.value
        frame.key = NOWHERE
        if event.implicit[0] and key == "<<":
            self.note(line, "yaml-merge", "merge keys are not allowed")
        elif event.implicit[0] and (key in _CONSTANTS or _INTEGER.fullmatch(key)):
            self.note(line, "yaml-key", f"the key {shown(key)} is no string; put it in quotes")
        elif key in frame.items:
            self.note(line, "duplicate-key", f"the key {shown(key)} is there already", key)
        elif len(frame.items) >= self.limits.flat:
            self.stop(line, "too-many-entries", f"more than {self.limits.flat:,} keys in a mapping")
        else:
            frame.key = key
            frame.mark.inside[key] = line

    def mark(self, event: Any) -> Lines:
        return Lines(_line(event))

    def alias(self, event: Any) -> None:
        frame = self.stack[-1]
        self.note(_line(event), "yaml-alias", "aliases are not allowed; write the value again")
        if frame.key is None:
            frame.key = NOWHERE
        else:
            self.put(frame, None, event)

    def decoration(self, event: Any) -> None:
        if event.anchor is not None:
            self.note(_line(event), "yaml-anchor", "anchors are not allowed")
        if event.tag is not None:
            self.note(_line(event), "yaml-tag", "tags are not allowed")

    def no_key(self, event: Any, what: str) -> None:
        self.note(_line(event), "yaml-key", f"{what} cannot be a key")

    def too_deep(self, event: Any) -> None:
        self.stop(_line(event), "too-deep", _too_deep(self.limits))

    def put(self, frame: Frame, value: Any, event: Any) -> None:
        self.entries += 1
        if self.entries > self.most or isinstance(frame.items, list):
            line = _line(event)
            self.check_count(frame, self.limits.flat, line)
            frame.mark.inside[frame.key] = line
        self.place(frame, value)

    def close(self, frame: Frame, done: Frame) -> None:
        lines = done.mark
        self.entries += 1
        self.check_count(frame, self.limits.rows if isinstance(done.items, dict) else self.limits.flat, lines.own)
        inside, key = frame.mark.inside, frame.key
        if isinstance(key, str):
            lines.own = inside[key]  # the line of the key
        if key != NOWHERE:
            inside[key] = lines
        self.place(frame, done.items)
        if frame.key == self.limits.long and self.judge:
            self.sample(frame, self.judge)

    def sample(self, frame: Frame, judge: Judge) -> None:
        """Stop if too many of the first rows of a list are wrong."""
        path = tuple(step.key for step in self.stack[1:-1] if step.key is not None)
        value: Any = list(frame.items)[: self.limits.sample]
        lines = frame.mark
        for step in reversed(path):
            value, above = {step: value}, Lines(1)
            above.inside[step] = lines
            lines = above
        if found := judge(Document(self.file, value, lines, (), complete=True), path):
            self.problems += found
            self.stop(
                1, "too-many-problems", f"{len(found)} problems in the first rows of a list: the rest was not read"
            )

    def check_count(self, frame: Frame, longest: int, line: int) -> None:
        """Stop if there are too many values, in the document or in a list."""
        if self.entries > self.most:
            self.stop(line, "too-many-entries", f"more than {self.most} values")
        if isinstance(frame.items, list) and len(frame.items) >= longest:
            self.stop(line, "too-many-entries", f"more than {longest:,} values in a list")


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _syntax(file: str, error: Any, limits: Limits) -> Problem:
    """Return the parser's error as a problem. Its text may quote the document."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 1
    parts = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    if PARSER_TOO_DEEP in parts:
        return Problem(file, line, "", "too-deep", _too_deep(limits))
    message = ": ".join(part for part in parts if part) or "this is no YAML"
    return Problem(file, line, "", "yaml-syntax", escaped(message[:200]))


def _too_deep(limits: Limits) -> str:
    return f"nested deeper than {limits.depth} levels"
