"""What the audience reads: chapters, commands with their output, what was checked. Colour only where it is wanted."""

import time
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from nplconf.cli.commands.demo import DemoError

INDENT = "  "
PLAIN = str.maketrans({"─": "-", "┬": "+", "└": "+", "✓": "ok", "✗": "NO"})
"""What stands for the signs that a terminal's character set may lack."""
BETWEEN_CHAPTERS = 1.5
"""Seconds in which a person reads a chapter."""


class Voice:
    """Tells the story on a console; every claim is checked as it is made."""

    def __init__(self, console: Console, pause: float) -> None:
        self._console = console
        self._pause = pause
        self._chapter = 0
        self._start = time.monotonic()

    @classmethod
    def on_stdout(cls, color: str, pause: float | None) -> "Voice":
        """color: auto (a terminal, and no NO_COLOR), always, never. pause None: by whether a person looks."""
        forced = {"always": True, "never": False}.get(color)
        console = Console(force_terminal=forced, no_color=True if forced is False else None, highlight=False)
        if pause is None:
            pause = BETWEEN_CHAPTERS if console.is_interactive else 0
        return cls(console, pause)

    def _glyphs(self, text: str) -> str:
        """The text as this terminal can show it."""
        try:
            text.encode(self._console.encoding)
        except UnicodeEncodeError:
            return text.translate(PLAIN)
        return text

    @property
    def coloured(self) -> bool:
        """Whether commands shall print colour too."""
        return self._console.is_terminal and not self._console.no_color

    @property
    def width(self) -> int:
        """Columns that a command's output may have."""
        return self._console.width - len(INDENT)

    def chapter(self, title: str) -> None:
        """Begin the next one, when the one before is read."""
        if self._chapter:
            time.sleep(self._pause)
        self._chapter += 1
        self._console.print()
        self._console.print(Text(f"{self._chapter}. {title}", style="bold cyan"))

    def say(self, line: str = "", style: str = "") -> None:
        """One line."""
        self._console.print(Text(self._glyphs(INDENT + line) if line else "", style=style), soft_wrap=True)

    def command(self, line: str, output: str = "") -> None:
        """A command as it is typed, and what it printed."""
        self._console.print(Text.assemble(INDENT, ("$ ", "dim"), (line, "bold")), soft_wrap=True)
        for row in output.rstrip().splitlines():
            self._row(Text.from_ansi(row))

    def _row(self, row: Text) -> None:
        """A line of output. On a terminal a long one goes on under itself; what is no terminal gets it whole."""
        lines = row.wrap(self._console, self.width - len(INDENT)) if self._console.is_terminal and row else [row]
        for number, line in enumerate(lines):
            self._console.print(Text(INDENT * (2 if number else 1)) + line, soft_wrap=True)

    def expect(self, claim: str, holds: object, seen: object = "") -> None:
        """Say what is so, or end the demo with what was seen instead."""
        if not holds:
            self._fail(claim, seen)
        self._console.print(Text.assemble(INDENT, (self._glyphs("✓ "), "bold green"), claim), soft_wrap=True)

    def _fail(self, claim: str, seen: object) -> NoReturn:
        self._console.print(Text.assemble(INDENT, (self._glyphs("✗ "), "bold red"), claim), soft_wrap=True)
        raise DemoError(f"demo: expected: {claim}; seen: {seen}")

    def curtain(self) -> None:
        """Said when everything is gone again."""
        seconds = time.monotonic() - self._start
        self._console.print()
        self._console.print(Text(f"The stage is empty again; {seconds:.1f} seconds, the host untouched.", style="dim"))
