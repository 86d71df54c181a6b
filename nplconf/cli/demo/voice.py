"""What the audience reads: chapters, commands with their output, what was checked. Colour only where it is wanted."""

import time
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from nplconf.cli.demo import DemoError

INDENT = "  "
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
        self._console.print(Text(INDENT + line if line else "", style=style), soft_wrap=True)

    def command(self, line: str, output: str = "") -> None:
        """A command as it is typed, and what it printed."""
        self._console.print(Text.assemble(INDENT, ("$ ", "dim"), (line, "bold")))
        for row in output.rstrip().splitlines():
            self._console.print(Text(INDENT) + Text.from_ansi(row), soft_wrap=True)

    def expect(self, claim: str, holds: object, seen: object = "") -> None:
        """Say what is so, or end the demo with what was seen instead."""
        if not holds:
            self._fail(claim, seen)
        self._console.print(Text.assemble(INDENT, ("✓ ", "bold green"), claim))

    def _fail(self, claim: str, seen: object) -> NoReturn:
        self._console.print(Text.assemble(INDENT, ("✗ ", "bold red"), claim))
        raise DemoError(f"demo: expected: {claim}; seen: {seen}")

    def curtain(self) -> None:
        """Said when everything is gone again."""
        seconds = time.monotonic() - self._start
        self._console.print()
        self._console.print(Text(f"The stage is empty again; {seconds:.1f} seconds, the host untouched.", style="dim"))
