"""Following one resource of an API server: a complete list, then the events since, over a connection of its own.

An event is taken only from a stream that makes sense: JSON objects of the known types whose resourceVersions do not go
backwards. Everything else is an `InvalidResponseError`. After a stream that merely ended or broke, the next one goes on
where it ended, which costs the server nothing; a list of 10,000 Services is 10 MB.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.answers import InvalidResponseError, Listing, decoded_line, named
from nplconf.cluster.api.listing import ExpiredError, listed, path
from nplconf.cluster.api.session import Session
from nplconf.cluster.api.transport import Deadline
from nplconf.errors import UnavailableError

LIST_SECONDS = 30.0
OPEN_SECONDS = 10.0
"""For the head of a watch's response."""
WATCH_SECONDS = (240, 480)
"""The server ends a watch after a time between these, chosen anew each time so that nodes do not return together."""
SILENCE_SECONDS = 150.0
"""A stream without a byte for so long is dead: a server sends a bookmark every minute."""
LONGEST = 16 << 20
"""Bytes of one event. An object in etcd has 1.5 MiB at most."""
TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


class WatchEvent(NamedTuple):
    """One event. object: the raw object; of a BOOKMARK only its resourceVersion counts."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Mapping[str, Any]


class GoneError(Exception):
    """The events since the last known resourceVersion are not available any more (410): list again."""


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
        """Close the connection."""
        self._session.close()

    def list(self) -> Iterator[Mapping[str, Any]]:
        """Yield all objects; then `version` is that of the list. One object at a time is in memory.

        Raises GoneError, UnavailableError and PermissionDeniedError, also after some objects: then they are no
        complete list.
        """
        listing = Listing(self._kind)
        with Deadline(LIST_SECONDS) as deadline:
            try:
                for _, item in listed(self._session, self._resource, listing, self._selection, deadline):
                    yield item
            except ExpiredError:
                raise GoneError from None
        if not listing.version:
            raise InvalidResponseError(f"its {self._kind} has no resourceVersion")
        self.version = listing.version

    def events(self) -> Iterator[WatchEvent]:
        """Open a watch. Return the events since `version`, which follows them, until the server ends the stream.

        Both the call and the iteration raise GoneError, UnavailableError (InvalidResponseError: the stream makes no
        sense) and PermissionDeniedError.
        """
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 nothing secret depends on it
        query = {
            **self._selection,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(seconds),
        }
        lines = self._session.stream(path(self._resource, query), OPEN_SECONDS, SILENCE_SECONDS, LONGEST)
        if lines is None:
            raise GoneError
        return self._followed(lines)

    def _followed(self, lines: Iterator[bytes]) -> Iterator[WatchEvent]:
        for line in lines:
            event = parsed(line)
            self._advance(event)
            yield event

    def _advance(self, event: WatchEvent) -> None:
        metadata = event.object.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not version:
            raise InvalidResponseError("an event of its watch has no resourceVersion")
        numbers = version.isdecimal() and self.version.isdecimal()
        if numbers and (len(version), version) < (len(self.version), self.version):  # int() refuses 5,000 digits
            raise InvalidResponseError(f"its watch goes back from version {self.version[:40]} to {version[:40]}")
        self.version = version


def parsed(line: bytes) -> WatchEvent:
    """Return the event of a line. Raises GoneError for an error 410, UnavailableError for any other line."""
    found = decoded_line(line)
    kind, what = (found.get("type"), found.get("object")) if isinstance(found, dict) else (None, None)
    if not isinstance(what, dict):
        raise InvalidResponseError("a line of its watch is no event")
    if kind == "ERROR":
        if what.get("code") == 410:
            raise GoneError
        raise UnavailableError(f"the API server ended the watch: {what.get('message') or what.get('reason')}")
    if kind not in TYPES:
        raise InvalidResponseError(f"its watch has an event of the unknown type {str(kind)[:40]!r}")
    if kind != "BOOKMARK" and not named(what):
        raise InvalidResponseError("its watch has an object without a name or UID")
    return WatchEvent(kind, what)
