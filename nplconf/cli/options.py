"""The options that every command takes, and where their values come from.

Precedence: flag, environment (`NPLCONF_` and the option in capitals), config file, default. What a value may be is said
once, in `nplconf.config`.
"""

import argparse
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nplconf import config
from nplconf.errors import BadConfigError, UsageError
from nplconf.settings import CONFIG, Settings


@dataclass(frozen=True, slots=True)
class Option:
    """One long option. metavar: "" for a switch. many: it may be given several times."""

    flag: str
    help: str
    metavar: str = ""
    short: str = ""
    many: bool = False

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.flag.replace("-", "_")

    @property
    def key(self) -> str:
        """Its name in the config file."""
        first, *rest = self.flag.split("-")
        return first + "".join(map(str.capitalize, rest))

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "NPLCONF_" + self.field.upper()


OPTIONS = (
    Option("config", f"config file (default: {CONFIG})", "FILE"),
    Option("node", "this node's name (default: $NODE_NAME, else the host name)", "NAME"),
    Option("cluster-state", "read this dump, not the API server; repeatable, - is stdin", "FILE", many=True),
    Option("write-back", "with a dump: write the Pods with their new annotations to this file", "FILE"),
    Option("kubeconfig", "credentials for the API server", "FILE"),
    Option("no-cluster", "with a PLAN: trust its addresses, annotate nothing"),
    Option("plan-dir", "DIR/<node>.yaml is the PLAN (in the config file: with mode reviewed)", "DIR"),
    Option("exact", "change nothing where anything differs from the PLAN"),
    Option("port-range", "node ports to use (default: 61000-62000)", "FIRST-LAST"),
    Option("state-dir", "what is remembered between runs (default: /var/lib/nplconf)", "DIR"),
    Option("hold-socket", "socket of the hold daemon (default: /run/nplconf/hold.sock)", "SOCKET"),
    Option("no-hold", "go without the hold daemon: a number that cannot be bound just now is taken"),
    Option("backend", "iptables backend: auto, nft or legacy (default: auto)", "BACKEND"),
    Option("max-delete", "block a run that would remove more (default: 50)", "PERCENT"),
    Option("allow-empty", "believe a cluster state without any Pod on this node"),
    Option("cool-down", "until another Pod may have a freed number (default: 1800)", "SECONDS"),
    Option("policy", "the file that bounds what may be mapped", "FILE"),
    Option("textfile", "write metrics for the node exporter's textfile collector", "FILE"),
    Option("no-events", "create no Events"),
    Option("force", "go on although the datapath bypasses netfilter"),
    Option("output", "table, json, yaml or markdown (default: table)", "FORM", short="-o"),
    Option("color", "colour the table: auto, always or never (default: auto)", "WHEN"),
    Option("quiet", "say only what changed and what failed", short="-q"),
    Option("verbose", "say what is done", short="-v"),
    Option("log-format", "messages on stderr: text or json (default: text)", "FORM"),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the options; one that is not given leaves no trace in the namespace."""
    group = parser.add_argument_group("options of every command")
    for option in OPTIONS:
        names = [option.short, f"--{option.flag}"] if option.short else [f"--{option.flag}"]
        group.add_argument(*names, dest=option.field, help=option.help, default=argparse.SUPPRESS, **_action(option))


def _action(option: Option) -> dict[str, Any]:
    if not option.metavar:
        return {"action": "store_true"}
    return {"metavar": option.metavar} | ({"action": "append"} if option.many else {})


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings of this run. Raises UsageError for a bad flag, BadConfigError for a bad variable or config file."""
    values = _from_environment(environ) | _from_flags(given)
    named = values.get("config")
    stored = config.read(named or CONFIG, required=bool(named)) if named or os.path.lexists(CONFIG) else {}
    return settings(stored, values, environ)


def settings(stored: Mapping[str, object], values: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    """Put a config file's options (by key) under those of flags and environment (by field)."""
    merged: dict[str, Any] = {_field(key): value for key, value in stored.items()} | values
    merged.setdefault("node", environ.get("NODE_NAME") or socket.gethostname())
    if "plan_dir" in values:  # said for this very run, it is not there for nothing
        merged["mode"] = "reviewed"
    return Settings(**merged)


def without_config(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """As `resolve`, for a command that must run although the config file is broken, or whatever it says."""
    return settings({}, _from_environment(environ) | _from_flags(given), environ)


def salvaged(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """As `resolve`, after it failed: what is right of it. A key or variable that is wrong is as if not there."""
    try:
        values = _from_environment(environ) | _from_flags(given)
    except BadConfigError:
        values = _from_flags(given)
    return settings(config.salvage(values.get("config") or CONFIG), values, environ)


def _field(key: str) -> str:
    """PortRange -> port_range, nodeIPs -> node_ips."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()


def _from_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        if option.field in given:
            found[option.field] = _value(option, given[option.field], f"--{option.flag}", UsageError)
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in OPTIONS:
        if text := environ.get(option.variable):
            found[option.field] = _value(option, [text] if option.many else text, option.variable, BadConfigError)
    return found


def _value(option: Option, raw: Any, where: str, error: type[UsageError | BadConfigError]) -> object:
    """A flag's or variable's value. A switch that was given as a flag is True already."""
    if raw is True:
        return raw
    try:
        if option.flag == "config":  # no file can say where it is
            return config.plain_text(raw)
        return config.check(option.key, raw) if option.many else config.from_text(option.key, raw)
    except ValueError as err:
        raise error(f"{where}: {err}") from None
