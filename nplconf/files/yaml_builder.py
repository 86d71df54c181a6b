"""Build plain data from the events of a YAML text, in one pass and without recursion, so that depth costs nothing.

PyYAML's own constructors guess: they read `061000` as 25088 and `1:30` as 90, and use the last one of duplicate keys.
Therefore both readers of YAML are subclasses of `Builder`. `strict_yaml` reads plans, policies and configs, and
collects all problems. `cluster.file.yaml_stream` reads what kubectl prints, follows aliases, and raises at the first
problem.
"""

from abc import ABC, abstractmethod
from typing import Any


class Frame:
    """A mapping or list that is being read.

    Attributes:
        items: The content so far.
        key: The key of the next value; None in a mapping if a key comes next.
        mark: What a subclass stores about the position where it began.
    """

    __slots__ = ("items", "key", "mark")

    def __init__(self, items: dict[str, Any] | list[Any], mark: Any) -> None:
        self.items = items
        self.mark = mark
        self.key: str | int | None = None if isinstance(items, dict) else 0


NOWHERE = -1
"""The key of a value that is dropped."""


class Builder(ABC):
    """Places the values of events one by one. A subclass decides what a scalar means, and what is a problem."""

    def __init__(self, depth: int, root: Frame) -> None:
        self.depth = depth
        """The most mappings and lists that may be open at once."""
        self.stack = [root]

    def take(self, text: str) -> None:
        """Process all events of a text. Raises yaml.YAMLError if it is not YAML."""
        import yaml

        # libyaml's parser, if PyYAML was built with it: the same events, ten times as fast
        parser: Any = (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)(text)
        handlers = {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: lambda event: self.begin(event, {}),
            yaml.SequenceStartEvent: lambda event: self.begin(event, []),
            yaml.MappingEndEvent: self.end,
            yaml.SequenceEndEvent: self.end,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: self.document_start,
            yaml.DocumentEndEvent: self.document_end,
        }
        try:
            while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
                if handler := handlers.get(type(event)):
                    handler(event)
        finally:
            parser.dispose()

    def scalar(self, event: Any) -> None:
        """Use a scalar as a key or a value."""
        frame = self.stack[-1]
        if event.anchor is not None or event.tag is not None:
            self.decoration(event)
        if frame.key is None:
            self.key(frame, event)
        else:
            self.put(frame, self.plain(event) if event.implicit[0] else event.value, event)

    def begin(self, event: Any, items: dict[str, Any] | list[Any]) -> None:
        """Open a mapping or list."""
        if event.anchor is not None or event.tag is not None:
            self.decoration(event)
        if len(self.stack) > self.depth:
            self.too_deep(event)
        if self.stack[-1].key is None:
            self.no_key(event, "a mapping or list")
        self.stack.append(Frame(items, self.mark(event)))

    def end(self, _: Any) -> None:
        """Close the mapping or list that was opened last."""
        done = self.stack.pop()
        frame = self.stack[-1]
        if frame.key is None:  # it was in the place of a key
            frame.key = NOWHERE
        else:
            self.close(frame, done)

    def place(self, frame: Frame, value: Any) -> None:
        """Store a value where the frame expects it."""
        items = frame.items
        if isinstance(items, list):
            items.append(value)
            frame.key = len(items)
            return
        if isinstance(frame.key, str):
            items[frame.key] = value
        frame.key = None

    # --- what a subclass decides

    def document_start(self, event: Any) -> None:  # noqa: B027 - an optional hook
        """Prepare for a document."""

    def document_end(self, event: Any) -> None:  # noqa: B027 - an optional hook
        """Check a complete document."""

    @abstractmethod
    def mark(self, event: Any) -> Any:
        """Return what to store about the position where a mapping or list begins."""

    @abstractmethod
    def plain(self, event: Any) -> Any:
        """Return the value of an unquoted scalar."""

    @abstractmethod
    def key(self, frame: Frame, event: Any) -> None:
        """Use a scalar as the key of the next value."""

    @abstractmethod
    def put(self, frame: Frame, value: Any, event: Any) -> None:
        """Place a scalar."""

    @abstractmethod
    def close(self, frame: Frame, done: Frame) -> None:
        """Place a mapping or list that has ended."""

    @abstractmethod
    def alias(self, event: Any) -> None:
        """Place the value of an alias."""

    @abstractmethod
    def decoration(self, event: Any) -> None:
        """Handle an anchor or a tag."""

    @abstractmethod
    def no_key(self, event: Any, what: str) -> None:
        """Handle a key that is not a scalar."""

    @abstractmethod
    def too_deep(self, event: Any) -> None:
        """Refuse deep nesting. Must raise."""
