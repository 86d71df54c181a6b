"""One Event as a request to the API server (events.k8s.io/v1), and whether it must be sent again."""

import json
import zlib
from urllib.parse import quote

from nplconf.cluster.api.transport import Reply
from nplconf.model import Event

CONTROLLER = "nplconf.io/nplconf"
NOTE_BYTES, INSTANCE_CHARACTERS, NAME_CHARACTERS = 1024, 128, 220
"""The limits of the API server; of the name, without its suffix."""


def path(event: Event) -> str:
    """Return the path of the request: the namespace of the object that the Event regards."""
    return f"/apis/events.k8s.io/v1/namespaces/{quote(event.namespace, safe='')}/events"


def body(event: Event, node: str, now: float) -> bytes:
    """Return the Event as JSON. now: seconds since 1970."""
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
    """Return a name that no earlier Event has. All nodes give the Events of one Service the same name."""
    stem = event.name[:NAME_CHARACTERS].rstrip("-.")
    marks = (
        zlib.crc32(event.topic.encode()),
        zlib.crc32(event.value.encode()) if event.kind == "Service" else int(now * 1e6),
    )
    return f"{stem}.{marks[0]:08x}{marks[1]:x}"


def is_done(reply: Reply) -> bool:
    """Return whether the Event needs no further attempt: it exists (409, too), or was refused for good."""
    return reply.status < 500 and reply.status not in (401, 408, 429)


def _micro(now: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(note: str) -> str:
    data = note.encode("utf-8", "replace")
    return note if len(data) <= NOTE_BYTES else data[: NOTE_BYTES - 3].decode("utf-8", "ignore") + "..."
