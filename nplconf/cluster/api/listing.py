"""One complete list of an API server, over as many pages as the server makes of it."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from nplconf.cluster.api.answers import Listing
from nplconf.cluster.api.session import Session
from nplconf.cluster.api.transport import Deadline


class ExpiredError(Exception):
    """The next page of a list is gone (410): the list must be read again from its start."""


def path(resource: str, query: Mapping[str, str]) -> str:
    """Return the path of a list or watch. resource: "pods". query: its parameters."""
    return f"/api/v1/{resource}{'?' if query else ''}{urlencode(query)}"


def listed(
    session: Session, resource: str, listing: Listing, selection: Mapping[str, str], deadline: Deadline
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (kind, object) of every item; `listing.version` is that of the whole list afterwards.

    Args:
        session: the connection.
        resource: "pods".
        listing: what the list must be.
        selection: field selectors, as query parameters.
        deadline: of all pages together.

    Raises:
        ExpiredError: the next page is gone.
        UnavailableError: the list is not complete.
        PermissionDeniedError: it is refused.
    """
    query = dict(selection)
    while True:
        reply = session.ask("GET", path(resource, query), deadline)
        if reply.status == 410 and "continue" in query:
            raise ExpiredError
        yield from listing.items(session.granted(reply, "list", resource), deadline)
        if not listing.pending:
            return
        query["continue"] = listing.pending
