"""Following one resource of an API server: a complete list, then the events since, over a connection of its own.

An event is taken only from a stream that makes sense: JSON objects of the known types whose resourceVersions do not go
backwards. Everything else ends the stream, and the caller lists again.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.answers import InvalidResponseError, Listing
from nplconf.cluster.api.session import Session
from nplconf.cluster.api.transport import Deadline
from nplconf.errors import UnavailableError

LIST_SECONDS = 30.0
OPEN_SECONDS = 10.0
"""For the head of a watch's response."""
WATCH_SECONDS = (240, 480)
"""The server ends a watch after a time between these, chosen anew each time so that nodes do not return together."""
GRACE_SECONDS = 15.0
"""A stream without a byte for so long after the server's timeout is dead: a server sends bookmarks, or ends it."""
LONGEST = 16 << 20
"""Bytes of one event. An object in etcd has 1.5 MiB at most."""

Type = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class WatchEvent(NamedTuple):
    """One event. object: the raw object; of a BOOKMARK only its resourceVersion counts."""

    type: Type
    object: Mapping[str, Any]


class GoneError(Exception):
    """The events since this resourceVersion are not to be had (410), or the stream makes no sense: list again."""


class Stream:
    """One resource of an API server.

    Args:
        find: where the server is, and the credentials; called again when they are rejected.
        resource: "pods".
        kind: "PodList".
        selection: field selectors, as query parameters.
    """

    def __init__(self, find: Callable[[], Access], resource: str, kind: str, selection: Mapping[str, str]) -> None:
        self._session = Session(find)
        self._resource, self._kind, self._selection = resource, kind, dict(selection)
        self.version = ""
        """The resourceVersion up to which everything is known."""

    def close(self) -> None:
        """Close the connection; a stream that another thread reads ends."""
        self._session.close()

    def list(self) -> Iterator[Mapping[str, Any]]:
        """Yield all objects; then `version` is that of the list. One object at a time is in memory.

        Raises UnavailableError and PermissionDeniedError, also after some objects: then they are no complete list.
        """
        listing = Listing(self._kind)
        query = dict(self._selection)
        with Deadline(LIST_SECONDS) as deadline:
            while True:
                reply = self._session.ask("GET", self._path(query), deadline)
                if reply.status == 410:
                    raise GoneError
                granted = self._session.granted(reply, "list", self._resource)
                for _, item in listing.items(granted, deadline):
                    yield item
                if not listing.pending:
                    break
                query["continue"] = listing.pending
        if not listing.version:
            raise InvalidResponseError(f"its {self._kind} has no resourceVersion")
        self.version = listing.version

    def events(self) -> Iterator[WatchEvent]:
        """Yield the events since `version`, which follows them, until the server ends the stream.

        Raises GoneError, UnavailableError, PermissionDeniedError.
        """
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 nothing secret depends on it
        query = {
            **self._selection,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(seconds),
        }
        lines = self._session.stream(self._path(query), OPEN_SECONDS, seconds + GRACE_SECONDS, LONGEST)
        for line in lines:
            event = parsed(line)
            self._advance(event)
            yield event

    def _path(self, query: Mapping[str, str]) -> str:
        return f"/api/v1/{self._resource}{'?' if query else ''}{urlencode(query)}"

    def _advance(self, event: WatchEvent) -> None:
        metadata = event.object.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not version:
            raise GoneError
        numbers = version.isdecimal() and self.version.isdecimal()
        if numbers and (len(version), version) < (len(self.version), self.version):  # int() refuses 5,000 digits
            raise GoneError
        self.version = version


def parsed(line: bytes) -> WatchEvent:
    """Return the event of a line. Raises GoneError for an error 410, UnavailableError for any other line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidResponseError("a line of its watch is no JSON") from None
    kind, what = (found.get("type"), found.get("object")) if isinstance(found, dict) else (None, None)
    if not isinstance(what, dict):
        raise InvalidResponseError("a line of its watch is no event")
    if kind == "ERROR":
        if what.get("code") == 410:
            raise GoneError
        raise UnavailableError(f"the API server ended the watch: {what.get('message') or what.get('reason')}")
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
        raise InvalidResponseError(f"its watch has an event of the unknown type {kind!r}")
    return WatchEvent(kind, what)
