"""One Event as a request to the API server (events.k8s.io/v1), and whether it has to be told again."""

import json
import zlib
from urllib.parse import quote

from nplconf.cluster.api.transport import Reply
from nplconf.model import Event

CONTROLLER = "nplconf.io/nplconf"
NOTE_BYTES, INSTANCE_CHARACTERS, NAME_CHARACTERS = 1024, 128, 220
"""What the API server takes; of the name, what the suffix leaves."""


def path(event: Event) -> str:
    """Where it is created: beside what it is about."""
    return f"/apis/events.k8s.io/v1/namespaces/{quote(event.namespace, safe='')}/events"


def body(event: Event, node: str, now: float) -> bytes:
    """The Event. now: seconds since 1970."""
    raw = {
        "metadata": {"name": _name(event, now)},
        "eventTime": _micro(now),
        "reportingController": CONTROLLER,
        "reportingInstance": node[:INSTANCE_CHARACTERS],
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "action": "Skip" if event.warning else "Map",
        "note": _cut(event.note),
        "regarding": {
            "apiVersion": "v1",
            "kind": event.kind,
            "namespace": event.namespace,
            "name": event.name,
            "uid": event.uid,
        },
    }
    return json.dumps(raw, separators=(",", ":")).encode()


def _name(event: Event, now: float) -> str:
    """One that no earlier Event has; of a Service, which every node has an eye on, one that all nodes give it."""
    stem = event.name[:NAME_CHARACTERS].rstrip("-.")
    marks = (
        zlib.crc32(event.topic.encode()),
        zlib.crc32(event.value.encode()) if event.kind == "Service" else int(now * 1e6),
    )
    return f"{stem}.{marks[0]:08x}{marks[1]:x}"


def told(reply: Reply) -> bool:
    """It was created, perhaps already (409: by an attempt whose answer was lost, or another node), or never will be."""
    return reply.status < 500 and reply.status not in (401, 408, 429)


def _micro(now: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(note: str) -> str:
    data = note.encode("utf-8", "replace")
    return note if len(data) <= NOTE_BYTES else data[: NOTE_BYTES - 3].decode("utf-8", "ignore") + "..."
