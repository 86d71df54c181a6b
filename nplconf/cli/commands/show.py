"""`nplconf show`: print this node's live mappings. No cluster is needed."""

import argparse
from typing import Any

from nplconf.cli import messages
from nplconf.cli.connections import open_node
from nplconf.model import PortMapping
from nplconf.output import structured, table
from nplconf.plan.document import mapping_to_data
from nplconf.run.reconcile import Shown, show
from nplconf.settings import Settings

COLUMNS = ("PROTOCOL", "PORT", "NODE IP", "POD", "ADDRESS", "SERVICES", "VIA")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no argument beside the common options."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the rules from the kernel, with details from the state file."""
    shown = show(open_node(settings), settings)
    for message in shown.warnings:
        messages.warning(message)
    if settings.output == "table":
        table.write(table.columns(COLUMNS, (_row(m, shown) for m in shown.mappings)), settings)
    else:
        data = {"node": settings.node, "mappings": [_data(m, shown) for m in shown.mappings]}
        print(structured.text(data, settings.output), end="")
    return 0


def _data(mapping: PortMapping, shown: Shown) -> dict[str, Any]:
    return mapping_to_data(mapping) | ({"alias": True} if mapping.key in shown.aliases else {})


def _row(mapping: PortMapping, shown: Shown) -> tuple[str, ...]:
    address = f"[{mapping.pod_ip}]" if mapping.family == "IPv6" else mapping.pod_ip
    return (
        mapping.protocol,
        str(mapping.node_port),
        mapping.node_ip,
        f"{mapping.pod.key}:{mapping.pod_port}" if mapping.pod.name else "?",
        f"{address}:{mapping.pod_port}",
        ",".join(mapping.services),
        f"{mapping.via}, alias" if mapping.key in shown.aliases else mapping.via,
    )
