"""`nplconf doctor`: what is well on this node, and what mends what is not."""

import argparse
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nplconf import config, doctor
from nplconf.cli import options, plans
from nplconf.cli.commands import install_units
from nplconf.cli.worlds import open_cluster, open_node
from nplconf.cluster.api.credentials import KUBELET
from nplconf.cluster.file.dump import DUMP
from nplconf.desired import claims
from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.render import find_node
from nplconf.doctor import examine
from nplconf.doctor.facts import Facts, LastSuccess, Units, Unknown
from nplconf.doctor.verdict import Verdict
from nplconf.errors import BadConfigError, NplconfError
from nplconf.hold import client as holds
from nplconf.install import systemd, units
from nplconf.model import ClusterState, Family, Holds, Right
from nplconf.node import datapath, owners, state
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
    options_wrong = tuple(_wrong_options(arguments, settings))
    facts = _facts(settings, (*options_wrong, *_wrong_files(settings), *_hidden(settings)))
    found = doctor.judge(_spared(facts, settings) if options_wrong else facts)
    healthy = all(verdict.status != "fail" for verdict in found.values())
    if settings.output == "table":
        table.write(_lines(found), settings)
    else:
        print(structured.text({"node": settings.node, "ok": healthy, "checks": _data(found)}, settings.output), end="")
    return 0 if healthy else 5


# --- what is looked at -----------------------------------------------------------------------------------------------


def _facts(settings: Settings, faults: tuple[tuple[str, str], ...]) -> Facts:
    lacking = examine.missing_capabilities()
    node = None if lacking else _node(settings)
    served, unreadable = examine.live(node)
    blind = _blind(lacking, unreadable)
    cluster, rights = _cluster(settings)
    pods = _pods(settings, cluster)
    installed = examine.units(_wanted(settings))
    return Facts(
        port_range=settings.port_range,
        no_hold=settings.no_hold,
        capabilities=lacking,
        iptables=examine.iptables(settings.backend.removeprefix("iptables-"), unreadable),
        leftovers=blind or (node.leftovers() if node else {}),
        forwarding=blind or examine.forwarding(pods),
        ip_forward=examine.ip_forward(pods or ("IPv4",)),
        route_localnet=examine.route_localnet(),
        ports=examine.ports(),
        holds=_holds(settings, installed),
        served=served,
        store=examine.store(),
        units=installed,
        last_success=examine.last_success(settings.state_dir),
        config=faults,
        node_ports=_node_ports(cluster, settings) if cluster else Unknown("the cluster cannot be read, see api-rights"),
        rights=rights,
        antrea=examine.antrea(blind=blind is not None),
        datapath=datapath.found(),
    )


def _blind(lacking: frozenset[str], unreadable: Mapping[Family, str]) -> Unknown | None:
    """Why nothing can be said of rules; None where they were read."""
    if lacking:
        return Unknown(f"without {', '.join(sorted(lacking))} iptables gives no answer")
    return Unknown("iptables gives no answer, see backend") if unreadable else None


def _wanted(settings: Settings) -> Mapping[str, str]:
    """What an installation of this nplconf is, by whichever of its names it was installed."""
    wanted = [install_units.wanted(settings, name) for name in systemd.names(install_units.called())]
    return min(wanted, key=lambda files: len(examine.differing(files)))


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
        return None, _unread(settings, str(err))
    if settings.cluster_state and os.geteuid() and not all(right.allowed for right in rights):
        return None, Unknown("the files are not ours to read and to write", closed=True)
    try:
        return cluster.snapshot(settings.node), rights
    except NplconfError as err:
        return None, rights if any(not right.allowed for right in rights) else _unread(settings, str(err))


def _unread(settings: Settings, why: str) -> Unknown:
    """A cluster that could not be read: files that make no sense, or a server, whose kubeconfig may be root's."""
    if settings.cluster_state:
        return Unknown(why, fix=f"{DUMP} >{shlex.quote(settings.cluster_state[0])}")
    return Unknown(why, closed=examine.is_closed(settings.kubeconfig or os.environ.get("KUBECONFIG") or KUBELET))


def _node_ports(cluster: ClusterState, settings: Settings) -> tuple[tuple[str, str, int], ...]:
    """The numbers that Services have at this node: (Service, which field claims it, number)."""
    node = find_node(cluster, settings.node)
    addresses = own_addresses(node, node_ips(node, settings.node_ips)) if node else frozenset[str]()
    found = claims.concerning(claims.of_services(cluster.services), addresses)
    return tuple((claim.service, claim.kind, claim.number) for claim in found)


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


def _holds(settings: Settings, installed: Units | Unknown) -> Holds | Unknown:
    """The daemon's answer; one that would be started by the question is not asked."""
    if settings.no_hold:
        return Holds(available=False)
    if examine.is_closed(settings.hold_socket):
        return Unknown(f"{settings.hold_socket} is not ours to ask at", closed=True)
    if isinstance(installed, Units) and installed.waits_for_a_question:
        return Holds(available=False, message="nplconf-hold.service does not run: nothing is held")
    found = holds.ask(settings.hold_socket, settings.port_range)
    return owners.named(found, [taken.number for taken in found.taken])


def _spared(facts: Facts, settings: Settings) -> Facts:
    """The facts beside a configuration that is wrong: what is missing for want of it is not named a second time."""
    lost = Unknown("what is configured is not known, see config", closed=True)
    if isinstance(facts.rights, Unknown) and not (settings.cluster_state or settings.kubeconfig):
        facts = replace(facts, rights=lost, node_ports=lost)
    if config.salvage(settings.config):
        return facts
    ranges = facts.holds.ranges if isinstance(facts.holds, Holds) else ()
    held = any(span.first <= facts.port_range.first and facts.port_range.last <= span.last for span in ranges)
    ever = isinstance(facts.last_success, LastSuccess) and facts.last_success.ever
    return replace(
        facts,
        holds=facts.holds if held else lost,
        last_success=facts.last_success if ever else lost,
        units=_seen(facts),
    )


def _seen(facts: Facts) -> Units | Unknown:
    """The units, but for the files that are made from the configuration."""
    if isinstance(facts.units, Unknown):
        return facts.units
    made = {units.JOB_REACH, f"{units.UNIT_DIRECTORY}/nplconf-hold.socket"}
    return facts.units._replace(differing=tuple(path for path in facts.units.differing if path not in made))


def _wrong_options(arguments: argparse.Namespace, settings: Settings) -> Iterator[tuple[str, str]]:
    try:
        options.resolve(vars(arguments), os.environ)
    except BadConfigError as err:
        if not examine.is_closed(settings.config):
            yield str(err), f"editor {settings.config}"


def _wrong_files(settings: Settings) -> Iterator[tuple[str, str]]:
    reviewed = settings.mode == "reviewed"
    named = settings.plan_dir if reviewed else settings.policy
    try:
        plans.bounds(None, settings)
    except BadConfigError as err:
        yield str(err), f"editor {settings.config}"
    except NplconfError as err:
        if not named or not examine.is_closed(named):
            file = f"{named}/{settings.node}.yaml" if reviewed else f"--policy {named}"
            yield str(err), f"nplconf validate {file}"
    if settings.textfile and not (place := Path(settings.textfile).parent).is_dir():
        yield f"{settings.textfile}: there is no such directory", f"mkdir -p {shlex.quote(str(place))}"


def _hidden(settings: Settings) -> Iterator[tuple[str, str]]:
    """A file that the hold daemon, which is not root, cannot read."""
    if os.path.exists(HOLD_UNIT) and os.path.exists(settings.config) and not _public(Path(settings.config)):  # noqa: PTH110
        mend = f"chmod go+rX {Path(settings.config).parent} {settings.config}"
        yield f"{settings.config}: the hold daemon is not root and cannot read it", mend


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
