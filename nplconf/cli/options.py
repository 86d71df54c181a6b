"""Flags and environment variables of the option table, and the precedence of their values.

Precedence, highest first: flag, environment variable, config file, default. The table is in `nplconf.settings`.
"""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from nplconf import config
from nplconf.desired import node_name
from nplconf.errors import BadConfigError, UsageError
from nplconf.option import Option
from nplconf.settings import CONFIG, Settings, options
from nplconf.spelling import suggestion

OPTIONS = tuple(option for option in options() if option.flag)
"""Options of the command line and the environment."""
FLAGS = tuple(option.flag for option in OPTIONS)


def add_to(parser: argparse.ArgumentParser, command: str) -> None:
    """Declare all flags. Help texts show the command's own by group; the others are accepted silently.

    A missing flag leaves no entry in the namespace.
    """
    groups: dict[str, Any] = {}
    for option in OPTIONS:
        used = command in option.commands
        if used and option.group not in groups:
            groups[option.group] = parser.add_argument_group(f"{option.group} options")
        names = [option.short, option.flag] if option.short else [option.flag]
        text = described(option).replace("%", "%%") if used else argparse.SUPPRESS
        target = groups[option.group] if used else parser
        target.add_argument(*names, dest=option.name, help=text, default=argparse.SUPPRESS, **_action(option))


def described(option: Option) -> str:
    """Return an option's help text with its default."""
    return f"{option.help} Default: {option.shown_default}." if option.shown_default else option.help


def unknown(words: Sequence[str], known: Sequence[str]) -> UsageError:
    """Return the error for unknown arguments. known: only the flags of the command."""
    flag = words[0].partition("=")[0]
    hint = suggestion(flag, (*FLAGS, *known)) if flag.startswith("-") else ""
    return UsageError(f"unrecognized arguments: {' '.join(words)}{hint}")


def _action(option: Option) -> dict[str, Any]:
    if not option.kind.metavar:
        return {"action": "store_true"}
    return {"metavar": option.kind.metavar} | ({"action": "append"} if option.kind.many else {})


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings of this run.

    Raises:
        UsageError: A flag has a wrong value.
        BadConfigError: An environment variable or the config file has one.

    """
    values = _from_environment(environ) | _from_flags(given)
    named = values.get("config")
    stored = config.read(named or CONFIG, required=bool(named)) if named or os.path.lexists(CONFIG) else {}
    return settings(stored, values, environ)


def settings(stored: Mapping[str, object], values: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    """Combine values of the config file (by key) with those of flags and environment (by field). The latter win."""
    merged: dict[str, Any] = {config.KEYS[key].name: value for key, value in stored.items()} | values
    if "node" not in merged:
        merged["node"], merged["node_origin"] = _node(environ)
    if "plan_dir" in values:  # given for this run, so it overrides the mode in the file
        merged["mode"] = "reviewed"
    return Settings(**merged)


def _node(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of this node's Node object without an option, and its origin."""
    if name := environ.get("NODE_NAME"):
        return name, "$NODE_NAME"
    return node_name.of_host(socket.gethostname()), "the host name"


def without_config(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings without the config file, for commands that must not depend on it."""
    return settings({}, _from_environment(environ) | _from_flags(given), environ)


def salvaged(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings from valid values only, after `resolve` failed. A wrong key or variable counts as missing."""
    try:
        values = _from_environment(environ) | _from_flags(given)
    except BadConfigError:
        values = _from_flags(given)
    return settings(config.salvage(values.get("config") or CONFIG), values, environ)


def _from_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        if option.name in given:
            found[option.name] = _value(option, given[option.name], option.flag, UsageError)
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        if text := environ.get(option.variable):
            raw = [text] if option.kind.many else text
            found[option.name] = _value(option, raw, option.variable, BadConfigError)
    return found


def _value(option: Option, raw: Any, where: str, error: type[UsageError | BadConfigError]) -> object:
    """Return the value of a flag or variable. A switch given as a flag is True already."""
    if raw is True:
        return raw
    try:
        return option.kind.parse(raw if option.kind.many else option.kind.data_of(raw))
    except ValueError as err:
        raise error(f"{where}: {err}") from None
