"""The output of the demo: chapters, commands with their output, and checks. Colour only if wanted."""

import time
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from nplconf.cli.commands.demo import DemoError

INDENT = "  "
PLAIN = str.maketrans({"─": "-", "┬": "+", "└": "+", "✓": "ok", "✗": "NO"})
"""Replacements of symbols that a terminal's character set may lack."""
BETWEEN_CHAPTERS = 1.5
"""Seconds, enough to read a chapter."""


class Transcript:
    """Prints chapters, commands and checks to a console."""

    def __init__(self, console: Console, pause: float) -> None:
        self._console = console
        self._pause = pause
        self._chapter = 0
        self._start = time.monotonic()

    @classmethod
    def on_stdout(cls, color: str, pause: float | None) -> "Transcript":
        """Return a transcript on stdout.

        Args:
            color: auto (on a terminal without NO_COLOR), always, never.
            pause: Seconds between chapters; None: `BETWEEN_CHAPTERS` on a terminal, else 0.
        """
        forced = {"always": True, "never": False}.get(color)
        console = Console(force_terminal=forced, no_color=True if forced is False else None, highlight=False)
        if pause is None:
            pause = BETWEEN_CHAPTERS if console.is_interactive else 0
        return cls(console, pause)

    def _glyphs(self, text: str) -> str:
        """Return the text with the symbols that this terminal can show."""
        try:
            text.encode(self._console.encoding)
        except UnicodeEncodeError:
            return text.translate(PLAIN)
        return text

    @property
    def coloured(self) -> bool:
        """Whether commands must print colour too."""
        return self._console.is_terminal and not self._console.no_color

    @property
    def width(self) -> int:
        """The number of columns for a command's output."""
        return self._console.width - len(INDENT)

    def chapter(self, title: str) -> None:
        """Begin the next chapter after a pause."""
        if self._chapter:
            time.sleep(self._pause)
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}. {title}", style="bold cyan"))

    def line(self, line: str = "", style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(self._glyphs(INDENT + line) if line else "", style=style), soft_wrap=True)

    def command(self, line: str, output: str = "") -> None:
        """Print a command line and its output."""
        self._console.print(Text.assemble(INDENT, ("$ ", "dim"), (line, "bold")), soft_wrap=True)
        for row in output.rstrip().splitlines():
            self._row(Text.from_ansi(row))

    def _row(self, row: Text) -> None:
        """Print a line of output. On a terminal a long line is wrapped with an indent; otherwise it stays whole."""
        lines = row.wrap(self._console, self.width - len(INDENT)) if self._console.is_terminal and row else [row]
        for number, line in enumerate(lines):
            self._console.print(Text(INDENT * (2 if number else 1)) + line, soft_wrap=True)

    def expect(self, claim: str, holds: object, seen: object = "") -> None:
        """Print a claim that holds. Otherwise end the demo with what was seen instead."""
        if not holds:
            self._fail(claim, seen)
        self._console.print(Text.assemble(INDENT, (self._glyphs("✓ "), "bold green"), claim), soft_wrap=True)

    def _fail(self, claim: str, seen: object) -> NoReturn:
        self._console.print(Text.assemble(INDENT, (self._glyphs("✗ "), "bold red"), claim), soft_wrap=True)
        raise DemoError(f"demo: expected: {claim}; seen: {seen}")

    def end(self) -> None:
        """Print the last line, after everything is removed."""
        seconds = time.monotonic() - self._start
        self._console.print()
        self._console.print(
            Text(f"Removed the demo namespaces after {seconds:.1f} seconds. The host was not changed.", style="dim")
        )
