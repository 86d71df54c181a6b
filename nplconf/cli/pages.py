"""The content of a command's man page and completion, from its parser and the tables."""

import argparse
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nplconf.cli import main, options


class Parameter(NamedTuple):
    """An option or argument.

    Attributes:
        flags: Its spellings; empty for an argument.
        metavar: The name of its value; "" for a switch.
        words: Its possible values, if they are a fixed list.
        about: Its help text.
    """

    flags: tuple[str, ...]
    metavar: str
    words: tuple[str, ...]
    about: str


class Page(NamedTuple):
    """One command. groups: title -> options of the option table."""

    name: str
    about: str
    usage: str
    example: str
    own: tuple[Parameter, ...]
    groups: Mapping[str, tuple[Parameter, ...]]

    @property
    def entries(self) -> tuple[Parameter, ...]:
        """All options and arguments."""
        return (*self.own, *(entry for group in self.groups.values() for entry in group))


def pages() -> tuple[Page, ...]:
    """Return one page per command, in the order of `nplconf --help`."""
    return tuple(_page(name) for names in main.PURPOSES.values() for name in names)


def _page(name: str) -> Page:
    parser, command = main.parser_of(name), main.COMMANDS[name]
    own = tuple(_own(parser.declared))
    usage = parser.format_usage().removeprefix("usage: ").strip()
    return Page(name, command.about, " ".join(usage.split()), command.example, own, _groups(name))


def _own(declared: Iterable[argparse.Action]) -> Iterable[Parameter]:
    """Yield the options and arguments of this command alone."""
    for action in declared:
        words = tuple(main.COMMANDS) if action.metavar == "COMMAND" else tuple(map(str, action.choices or ()))
        if action.dest != "help" and action.help != argparse.SUPPRESS:
            metavar = str(action.metavar or "|".join(words))
            yield Parameter(tuple(action.option_strings), metavar, words, action.help or "")


def _groups(name: str) -> dict[str, tuple[Parameter, ...]]:
    groups: dict[str, tuple[Parameter, ...]] = {}
    for option in options.OPTIONS:
        if name in option.commands:
            flags = (option.short, option.flag) if option.short else (option.flag,)
            words = option.kind.schema.get("enum", ())
            known = tuple(words) if isinstance(words, (list, tuple)) else ()
            entry = Parameter(flags, option.kind.metavar, known, options.described(option))
            groups[option.group] = (*groups.get(option.group, ()), entry)
    return groups
