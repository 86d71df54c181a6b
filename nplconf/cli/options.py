"""The options that every command takes, and where their values come from.

Precedence: flag, environment (`NPLCONF_` and the option in capitals), config file, default.
"""

import argparse
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nplconf import config
from nplconf.errors import BadConfigError, UsageError
from nplconf.model import PortRange
from nplconf.settings import CONFIG, Settings


@dataclass(frozen=True, slots=True)
class Option:
    """One long option. field: of `Settings`. parse: text -> value, ValueError with a reason when it is none."""

    flag: str
    help: str
    metavar: str = ""
    parse: Callable[[str], object] = str
    choices: tuple[str, ...] = ()
    many: bool = False
    switch: bool = False
    short: str = ""

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.flag.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "NPLCONF_" + self.field.upper()


def port_range(text: str) -> PortRange:
    """FIRST-LAST, or one number."""
    first, dash, last = text.partition("-")
    if not first.isascii() or not first.isdigit() or (dash and not (last.isascii() and last.isdigit())):
        raise ValueError(f"{text!r} is no range of ports such as 61000-62000")
    found = PortRange(int(first), int(last or first))
    if not 1 <= found.first <= found.last <= 65535:
        raise ValueError(f"{text!r} is not within 1-65535, or its ends are swapped")
    return found


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise ValueError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse


OPTIONS = (
    Option("config", "config file (default: /etc/nplconf/config.yaml)", "FILE"),
    Option("node", "this node's name (default: $NODE_NAME, else the host name)", "NAME"),
    Option("cluster-state", "read this dump, not the API server; repeatable, - is stdin", "FILE", many=True),
    Option("write-back", "with a dump: write the Pods with their new annotations to this file", "FILE"),
    Option("kubeconfig", "credentials for the API server", "FILE"),
    Option("no-cluster", "with a PLAN: trust its addresses, annotate nothing", switch=True),
    Option("port-range", "node ports to use (default: 61000-62000)", "FIRST-LAST", parse=port_range),
    Option("state-dir", "what is remembered between runs (default: /var/lib/nplconf)", "DIR"),
    Option("hold-socket", "socket of the hold daemon (default: /run/nplconf/hold.sock)", "SOCKET"),
    Option("no-hold", "go without the hold daemon: a number that cannot be bound just now is taken", switch=True),
    Option("backend", "iptables backend (default: auto)", choices=("auto", "nft", "legacy")),
    Option("max-delete", "block a run that would remove more (default: 50)", "PERCENT", parse=_whole(0, 100)),
    Option("allow-empty", "believe a cluster state without any Pod on this node", switch=True),
    Option("cool-down", "until another Pod may have a freed number (default: 1800)", "SECONDS", parse=_whole(0, 10**9)),
    Option("policy", "the file that bounds what may be mapped", "FILE"),
    Option("textfile", "write metrics for the node exporter's textfile collector", "FILE"),
    Option("no-events", "create no Events", switch=True),
    Option("force", "go on although the datapath bypasses netfilter", switch=True),
    Option("output", "how the result is written", short="-o", choices=("table", "json", "yaml", "markdown")),
    Option("color", "colour the table", choices=("auto", "always", "never")),
    Option("quiet", "say only what changed and what failed", switch=True, short="-q"),
    Option("verbose", "say what is done", switch=True, short="-v"),
    Option("log-format", "how messages on stderr are written", choices=("text", "json")),
)  # fmt: skip


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the options; one that is not given leaves no trace in the namespace."""
    group = parser.add_argument_group("options of every command")
    for option in OPTIONS:
        names = [option.short, f"--{option.flag}"] if option.short else [f"--{option.flag}"]
        group.add_argument(*names, dest=option.field, help=option.help, default=argparse.SUPPRESS, **_action(option))


def _action(option: Option) -> dict[str, Any]:
    if option.switch:
        return {"action": "store_true"}
    action = {"action": "append"} if option.many else {}
    return action | ({"choices": option.choices} if option.choices else {"metavar": option.metavar})


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings of this run.

    Raises UsageError for a bad flag, BadConfigError for a bad variable or config file.
    """
    values = {**_from_environment(environ), **_from_flags(given)}
    path = values.get("config", CONFIG)
    stored = config.read(path) if "config" in values or os.path.lexists(path) else {}
    merged = {**stored, **values}
    merged.setdefault("node", environ.get("NODE_NAME") or socket.gethostname())
    return Settings(**merged)


def without_config(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """As `resolve`, for a command that must run although the config file is broken."""
    values = {**_from_environment(environ), **_from_flags(given)}
    values.setdefault("node", environ.get("NODE_NAME") or socket.gethostname())
    return Settings(**values)


def _from_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        if option.field in given:
            found[option.field] = _value(option, given[option.field], f"--{option.flag}", UsageError)
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        text = environ.get(option.variable)
        if text is None or text == "":
            continue
        raw: Any = text.split(os.pathsep) if option.many else text
        found[option.field] = _value(
            option, _switch(option, raw) if option.switch else raw, option.variable, BadConfigError
        )
    return found


def _switch(option: Option, text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise BadConfigError(f"{option.variable}: {text!r} is neither true nor false")
    return known[text.lower()]


def _value(option: Option, raw: Any, where: str, error: type[UsageError | BadConfigError]) -> object:
    if option.switch:
        return raw
    if option.many:
        return tuple(raw)
    if option.choices and raw not in option.choices:
        raise error(f"{where}: {raw!r} is none of {', '.join(option.choices)}")
    try:
        return option.parse(raw)
    except ValueError as err:
        raise error(f"{where}: {err}") from None
