"""A JSON text of any size, read value by value through a window, in little memory.

The standard library decodes each value as soon as it is whole in the window. The caller decides which object or list
is walked through (`members`, `elements`) and which is read as one value (`value`).
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")


class JsonError(ValueError):
    """The text is not JSON.

    Attributes:
        line: where, counted from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(parse_constant=no_constant)


class Window:
    """A window on a text.

    Args:
        read: returns the next part of the text, None at its end.
        longest: characters of one value; a value that goes on beyond them is an error.
    """

    def __init__(self, read: Callable[[], str | None], longest: int) -> None:
        self._read = read
        self._longest = longest
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that begins here. The caller reads the value of each."""
        self._expect("{")
        if self.at("}"):
            self._expect("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._wrong("a key that is no text")
            self._expect(":")
            yield key
            if self.at("}"):
                self._expect("}")
                return
            self._expect(",")

    def elements(self) -> Iterator[None]:
        """Yield before each element of the list that begins here; the caller reads the element."""
        self._expect("[")
        if not self.at("]"):
            yield
            while not self.at("]"):
                self._expect(",")
                yield
        self._expect("]")

    def matches(self, beginning: re.Pattern[str], characters: int) -> bool:
        """Return whether the text here matches a pattern that looks at so many characters at most."""
        self._skip()
        while len(self._text) - self._at < characters and not self._ended:
            self._more()
        return beginning.match(self._text, self._at) is not None

    def value(self) -> Any:
        """Return the value that begins here."""
        self._skip()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > self._longest:
                    raise self._wrong(error.msg, error.pos) from None
            except ValueError as error:
                raise self._wrong(str(error)) from None
            except RecursionError:
                raise self._wrong("nested too deeply") from None
            else:
                # a number that ends where the window ends may go on
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._grow()

    def at(self, character: str) -> bool:
        """Return whether the next value begins with a character."""
        self._skip()
        return self._text.startswith(character, self._at)

    def end(self) -> None:
        """Raise JsonError if something follows."""
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("Extra data")

    def _expect(self, character: str) -> None:
        if not self.at(character):
            raise self._wrong(f"{character!r} expected")
        self._at += 1

    def _skip(self) -> None:
        """Go to the next character that is no space."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._ended:
                return
            self._more()

    def _grow(self) -> None:
        """Double what is left in the window: each attempt decodes from the beginning of the value."""
        wanted = min(2 * (len(self._text) - self._at), self._longest + 1)
        self._more()
        while len(self._text) < wanted and not self._ended:
            self._more()

    def _more(self) -> None:
        more = self._read()
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + (more or ""), 0
        self._ended = more is None

    def _wrong(self, message: str, position: int | None = None) -> JsonError:
        line = self._line + self._text.count("\n", 0, self._at if position is None else position)
        return JsonError(message, line)
