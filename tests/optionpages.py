"""The texts generated from the option table: the JSON schema of the config file, and the table in the page."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nplconf.cli.main import COMMANDS
from nplconf.cli.options import described
from nplconf.option import Option
from nplconf.settings import CONFIGURED, DECIDE, NODE, options

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "schemas" / "config.schema.json"
PAGE = ROOT / "nplconf" / "cli" / "README.md"
BEGIN, END = "<!-- options: generated from nplconf/settings.py -->\n", "<!-- end of options -->\n"
HEAD = "| option | key of the config file | meaning | used by |\n| --- | --- | --- | --- |\n"
GROUPS = {"all": CONFIGURED, "node commands": NODE, "deciding commands": DECIDE}
"""What the page calls a list of commands that many options have."""


def schema() -> str:
    """The JSON schema of the config file."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://nplconf.io/schemas/v1alpha1/config.schema.json",
        "title": "nplconf configuration",
        "description": "The config file, /etc/nplconf/config.yaml. Flags and environment variables override it.",
        "type": "object",
        "additionalProperties": False,
        "properties": {option.key: _property(option) for option in options() if option.key},
    }
    return json.dumps(found, indent=2) + "\n"


def _property(option: Option) -> dict[str, Any]:
    rest = dict(option.kind.schema)
    return {"title": rest.pop("title"), "description": described(option), **rest}


def table() -> str:
    """The table of the page on commands, and what its names of groups stand for."""
    meant = [f"*{name}*: {_names(group)}" for name, group in GROUPS.items() if name != "all"]
    return HEAD + "".join(map(_row, options())) + f"\nIn this table {'; '.join(meant)}.\n"


def _row(option: Option) -> str:
    short = f"`{option.short}`, " if option.short else ""
    metavar = f" {option.kind.metavar}" if option.kind.metavar else ""
    flag = f"{short}`{option.flag}{metavar}`" if option.flag else ""
    key = f"`{option.key}`" if option.key else ""
    return "| {} |\n".format(" | ".join((_cell(flag), key, _cell(described(option)), _users(option))))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _users(option: Option) -> str:
    """The commands that use an option, those of the largest group that fits by its name."""
    used = set(option.commands)
    name = next((name for name, group in GROUPS.items() if used >= set(group)), "")
    rest = _names(used - set(GROUPS.get(name, ())))
    return ", ".join(filter(None, (name, rest)))


def _names(commands: Collection[str]) -> str:
    """Commands in the order of `nplconf --help`."""
    return ", ".join(f"`{name}`" for name in COMMANDS if name in commands)


def page(text: str) -> str:
    """The page with a table that is as it must be."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}"
