"""`nplconf doctor`: check this node, and print a fix for each problem."""

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nplconf import config, doctor
from nplconf.characters import escaped
from nplconf.cli import options, plans
from nplconf.cli.commands import install_units
from nplconf.cli.connections import open_cluster, open_node
from nplconf.doctor.facts import Facts, FactSources, Fault, is_closed
from nplconf.doctor.facts.units import differing
from nplconf.doctor.verdict import Verdict
from nplconf.errors import BadConfigError, NplconfError
from nplconf.install import systemd
from nplconf.output import structured, table
from nplconf.settings import Settings

STYLES = {"ok": "add", "warn": "change", "fail": "failed"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no argument beside the common options."""


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings without wrong options. The check `config` reports those."""
    try:
        return options.resolve(given, environ)
    except BadConfigError:
        return options.salvaged(given, environ)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check the node; return 0, or 5 when a check fails."""
    found = doctor.judge(Facts(settings, _sources(arguments, settings)))
    healthy = all(verdict.status != "fail" for verdict in found.values())
    if settings.output == "table":
        table.write(_lines(found), settings)
    else:
        print(structured.text({"node": settings.node, "ok": healthy, "checks": _data(found)}, settings.output), end="")
    return 0 if healthy else 5


# --- what the checks are given ---------------------------------------------------------------------------------------


def _sources(arguments: argparse.Namespace, settings: Settings) -> FactSources:
    wrong = tuple(_wrong_options(arguments, settings))
    return FactSources(
        cluster=lambda: open_cluster(settings),
        node=lambda: open_node(settings),
        units=lambda: _wanted(settings),
        faults=(*wrong, *_wrong_files(settings)),
        lost=bool(wrong),
        salvaged=bool(wrong) and bool(config.salvage(settings.config)),
    )


def _wanted(settings: Settings) -> Mapping[str, str]:
    """Return the files of an installation of this nplconf, called by the name that fits best."""
    wanted = [install_units.wanted(settings, name) for name in systemd.names(install_units.called())]
    return min(wanted, key=lambda files: len(differing(files)))


def _wrong_options(arguments: argparse.Namespace, settings: Settings) -> Iterator[Fault]:
    try:
        options.resolve(vars(arguments), os.environ)
    except BadConfigError as err:
        if not is_closed(settings.config):
            yield Fault(str(err), f"editor {settings.config}")


def _wrong_files(settings: Settings) -> Iterator[Fault]:
    """Yield the problems of the files that the configuration names."""
    reviewed = settings.mode == "reviewed"
    named = settings.plan_dir if reviewed else settings.policy
    try:
        plans.bounds(None, settings)
    except BadConfigError as err:
        yield Fault(str(err), f"editor {settings.config}")
    except NplconfError as err:
        if not named or not is_closed(named):
            file = f"{named}/{settings.node}.yaml" if reviewed else f"--policy {named}"
            yield Fault(str(err), f"nplconf validate {file}")
    if settings.textfile and not (place := Path(settings.textfile).parent).is_dir():
        yield Fault(f"{settings.textfile}: the directory does not exist", f"mkdir -p {shlex.quote(str(place))}")


# --- output ----------------------------------------------------------------------------------------------------------


def _data(found: Mapping[str, Verdict]) -> list[dict[str, str | None]]:
    return [{"check": name, "status": v.status, "message": v.message, "fix": v.fix} for name, v in found.items()]


def _lines(found: Mapping[str, Verdict]) -> list[table.Line]:
    lines = []
    for name, verdict in found.items():
        lines.append((STYLES[verdict.status], f"{verdict.status:<4}  {name:<18}  {escaped(verdict.message)}"))
        if verdict.fix:
            lines.append(("", f"{'':<26}Fix: {escaped(verdict.fix)}"))
    return [*lines, ("sum", _summary(found))]


def _summary(found: Mapping[str, Verdict]) -> str:
    """Return the last line: the number of checks by status. Checks that saw nothing are counted separately."""
    counts = [f"{sum(v.status == status and v.checked for v in found.values())} {status}" for status in STYLES]
    unseen = sum(not verdict.checked for verdict in found.values())
    return f"Doctor: {', '.join([*counts, *([f'{unseen} not checked'] if unseen else [])])}."
