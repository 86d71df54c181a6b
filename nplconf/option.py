"""One option of the table in `settings`: its row, and the names that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field
from typing import Any, NamedTuple

from nplconf.values import Kind


class Option(NamedTuple):
    """One option: its row of the table, and the names that follow from it."""

    name: str
    """The field of `Settings`."""
    default: Any
    """None: nothing is set."""
    kind: Kind
    group: str
    commands: tuple[str, ...]
    """The commands that use it. All others accept and ignore it."""
    help: str
    shown_default: str
    """What help texts and pages call the default; "" when there is none to speak of."""
    short: str
    only: str
    """"file": a key of the config file alone. "command line": no key (the name of the config file itself)."""

    @property
    def flag(self) -> str:
        """The long flag, such as --state-dir; "" without one."""
        return "" if self.only == "file" else f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable, such as NPLCONF_STATE_DIR; "" without one."""
        return "" if self.only == "file" else f"NPLCONF_{self.name.upper()}"

    @property
    def key(self) -> str:
        """The key of the config file, such as stateDir; "" without one."""
        first, *rest = self.name.split("_")
        return "" if self.only == "command line" else first + "".join(_capital(word) for word in rest)


def _capital(word: str) -> str:
    return "IPs" if word == "ips" else word.capitalize()


def described(
    kind: Kind, group: str, commands: Iterable[str], text: str, *, default: str = "", short: str = "", only: str = ""
) -> Mapping[str, object]:
    """Return the metadata of a field of `Settings` that is an option.

    Args:
        kind: The kind of its value.
        group: The heading in help texts.
        commands: The commands that use it.
        text: The description.
        default: What help texts show in place of a default that depends on the node.
        short: The short flag.
        only: See `Option.only`.

    """
    row = {"kind": kind, "group": group, "commands": tuple(commands), "help": text, "shown_default": default}
    return {**row, "short": short, "only": only}


def row(one: "Field[Any]") -> Option:
    """Return the row of a field that is an option."""
    facts = dict(one.metadata)
    default = None if one.default is MISSING else one.default
    shown = facts.pop("shown_default") or ("" if default in (None, False, ()) else str(default))
    return Option(name=one.name, default=default, shown_default=shown, **facts)
