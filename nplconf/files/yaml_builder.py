"""One pass over the events of a YAML text, without recursion, so that depth costs nothing.

PyYAML's own constructors guess: `061000` is 25088 to them, `1:30` is 90, of doubled keys the last one wins. Therefore
both readers of YAML are built on this class. `strict_yaml` reads plans, policies and configs, and collects all
problems. `cluster.file.yaml_stream` reads what kubectl prints, follows aliases, and raises at the first problem.
"""

from typing import Any


class Frame:
    """A mapping or list that is being read.

    Attributes:
        items: What is read of it so far.
        key: Where the next value goes; None in a mapping where a key comes next.
        mark: What a subclass knows of the place where it began.
    """

    __slots__ = ("items", "key", "mark")

    def __init__(self, items: dict[str, Any] | list[Any], mark: Any) -> None:
        self.items = items
        self.mark = mark
        self.key: str | int | None = None if isinstance(items, dict) else 0


NOWHERE = -1
"""The key of a value that is dropped."""


class Builder:
    """Places the values of events one by one. A subclass decides what a scalar is, and what is a problem."""

    def __init__(self, depth: int, root: Frame) -> None:
        self.depth = depth
        """Mappings and lists that may be open at once."""
        self.stack = [root]

    def take(self, text: str) -> None:
        """Take in all events of a text. Raises yaml.YAMLError for what is no YAML."""
        import yaml

        # libyaml's parser, where PyYAML was built with it: the same events, ten times as fast
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
        """Take a scalar for a key or a value."""
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
        if frame.key is None:  # it was a key
            frame.key = NOWHERE
        else:
            self.close(frame, done)

    def place(self, frame: Frame, value: Any) -> None:
        """Store a value where the frame waits for it."""
        items = frame.items
        if isinstance(items, list):
            items.append(value)
            frame.key = len(items)
            return
        if isinstance(frame.key, str):
            items[frame.key] = value
        frame.key = None

    # --- what a subclass decides

    def document_start(self, event: Any) -> None:
        """Prepare for a document."""

    def document_end(self, event: Any) -> None:
        """Judge a document that is complete."""

    def mark(self, event: Any) -> Any:
        """What to know of the place where a mapping or list begins."""
        raise NotImplementedError

    def plain(self, event: Any) -> Any:
        """The value of a scalar without quotes."""
        raise NotImplementedError

    def key(self, frame: Frame, event: Any) -> None:
        """Take a scalar for the key of what follows."""
        raise NotImplementedError

    def put(self, frame: Frame, value: Any, event: Any) -> None:
        """Place a scalar."""
        raise NotImplementedError

    def close(self, frame: Frame, done: Frame) -> None:
        """Place a mapping or list that has ended."""
        raise NotImplementedError

    def alias(self, event: Any) -> None:
        """Place what an alias stands for."""
        raise NotImplementedError

    def decoration(self, event: Any) -> None:
        """Judge an anchor or a tag."""
        raise NotImplementedError

    def no_key(self, event: Any, what: str) -> None:
        """Judge what stands in the place of a key and is no scalar."""
        raise NotImplementedError

    def too_deep(self, event: Any) -> None:
        """Refuse what is nested too deeply. Must raise."""
        raise NotImplementedError
