"""`nplconf doctor`: what is well on this node, and what mends what is not."""

import argparse
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nplconf import doctor
from nplconf.cli import install_units, options, plans
from nplconf.cli.worlds import open_cluster, open_node
from nplconf.doctor.facts import Facts, Right, Unknown
from nplconf.doctor.verdict import Verdict
from nplconf.errors import BadConfigError, NplconfError
from nplconf.model import ClusterState, Family, Holds
from nplconf.node import datapath, examine, holds, owners, state
from nplconf.node.linux import LinuxNode
from nplconf.output import structured, table
from nplconf.output.text import escaped
from nplconf.settings import Settings

HOLD_UNIT = "/etc/systemd/system/nplconf-hold.service"
STYLES = {"ok": "add", "warn": "change", "fail": "failed"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the options of every command."""


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """What is right of the settings: what is wrong is a check's to say."""
    try:
        return options.resolve(given, environ)
    except BadConfigError:
        return options.salvaged(given, environ)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0, or 5 when a check fails. Changes nothing."""
    found = doctor.judge(_facts(settings, _config_faults(arguments, settings)))
    healthy = all(verdict.status != "fail" for verdict in found.values())
    if settings.output == "table":
        table.write(_lines(found), settings)
    else:
        print(structured.text({"node": settings.node, "ok": healthy, "checks": _data(found)}, settings.output), end="")
    return 0 if healthy else 5


# --- what is looked at -----------------------------------------------------------------------------------------------


def _facts(settings: Settings, faults: tuple[tuple[str, str], ...]) -> Facts:
    lacking = examine.missing_capabilities()
    blind = Unknown(f"without {', '.join(sorted(lacking))} iptables gives no answer") if lacking else None
    node = None if lacking else _node(settings)
    cluster, rights = _cluster(settings)
    pods = _pods(settings, cluster)
    return Facts(
        port_range=settings.port_range,
        no_hold=settings.no_hold,
        capabilities=lacking,
        iptables=examine.iptables(settings.backend, node),
        leftovers=blind or (node.leftovers() if node else ()),
        forwarding=blind or examine.forwarding(pods),
        ip_forward=examine.ip_forward(pods or ("IPv4",)),
        route_localnet=examine.route_localnet(),
        ports=examine.ports(),
        holds=_holds(settings),
        served=examine.live_numbers(node),
        store=examine.store(),
        units=examine.units(install_units.wanted(settings)),
        last_success=examine.last_success(settings.state_dir),
        config=faults,
        node_ports=_node_ports(cluster) if cluster else Unknown("the cluster cannot be read, see api-rights"),
        rights=rights,
        antrea=examine.antrea(),
        datapath=datapath.found(),
    )


def _node(settings: Settings) -> LinuxNode | None:
    try:
        return open_node(settings)
    except NplconfError:
        return None


def _cluster(settings: Settings) -> tuple[ClusterState | None, tuple[Right, ...] | Unknown]:
    """What the cluster says, and what we may do there, each for itself as far as there is an answer."""
    rights: tuple[Right, ...] | Unknown
    try:
        cluster = open_cluster(settings)
        rights = cluster.rights(settings.node, events=not settings.no_events)
    except NplconfError as err:
        return None, Unknown(str(err))
    try:
        return cluster.snapshot(settings.node), rights
    except NplconfError as err:
        return None, rights if any(not right.allowed for right in rights) else Unknown(str(err))


def _node_ports(cluster: ClusterState) -> tuple[tuple[str, str, int], ...]:
    ports = [(s.key, "nodePort", port.node_port) for s in cluster.services for port in s.ports if port.node_port]
    checks = [(s.key, "healthCheckNodePort", s.health_check_node_port) for s in cluster.services]
    return (*ports, *(check for check in checks if check[2]))


def _pods(settings: Settings, cluster: ClusterState | None) -> dict[Family, str]:
    """An address of a Pod here, by family: what packets are to get to."""
    if cluster:
        pods = (pod for pod in cluster.pods if pod.node == settings.node and not pod.host_network)
        ips = [ip for pod in pods if not pod.terminated for ip in pod.ips]
    else:
        plan = state.load(settings.state_dir).state.plan
        ips = [mapping.pod_ip for mapping in plan.mappings] if plan else []
    families: dict[Family, str] = {}
    for ip in filter(None, ips):
        families.setdefault("IPv6" if ":" in ip else "IPv4", ip)
    return families


def _holds(settings: Settings) -> Holds:
    if settings.no_hold:
        return Holds(available=False)
    found = holds.ask(settings.hold_socket, settings.port_range)
    return owners.named(found, [taken.number for taken in found.taken])


def _config_faults(arguments: argparse.Namespace, settings: Settings) -> tuple[tuple[str, str], ...]:
    """What is wrong with the configuration and with what it names, and what mends it."""
    edit = f"editor {settings.config}"
    faults = []
    try:
        options.resolve(vars(arguments), os.environ)
    except BadConfigError as err:
        faults.append((str(err), edit))
    named = settings.plan_dir if settings.mode == "reviewed" else settings.policy
    try:
        plans.bounds(None, settings)
    except NplconfError as err:
        faults.append((str(err), f"nplconf validate {'' if named == settings.plan_dir else '--policy '}{named}"))
    if os.path.exists(HOLD_UNIT) and os.path.exists(settings.config) and not _public(Path(settings.config)):  # noqa: PTH110
        faults.append(
            (f"{settings.config}: the hold daemon is not root and cannot read it", f"chmod go+rX {settings.config}")
        )
    return tuple(faults)


def _public(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH and path.parent.stat().st_mode & stat.S_IXOTH)


# --- what is told ----------------------------------------------------------------------------------------------------


def _data(found: Mapping[str, Verdict]) -> list[dict[str, str | None]]:
    return [{"check": name, "status": v.status, "message": v.message, "fix": v.fix} for name, v in found.items()]


def _lines(found: Mapping[str, Verdict]) -> list[table.Line]:
    lines = []
    for name, verdict in found.items():
        lines.append((STYLES[verdict.status], f"{verdict.status:<4}  {name:<18}  {escaped(verdict.message)}"))
        if verdict.fix:
            lines.append(("", f"{'':<26}> {escaped(verdict.fix)}"))
    counts = ", ".join(f"{sum(v.status == status for v in found.values())} {status}" for status in STYLES)
    return [*lines, ("sum", f"Doctor: {counts}.")]
