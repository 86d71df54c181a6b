"""Requests to an API server with retries up to a deadline: it may be busy, restart, or reject an expired token."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.answers import refusal
from nplconf.cluster.api.transport import Deadline, Reply, Transport
from nplconf.errors import PermissionDeniedError, UnavailableError

BUSY = (429, 503)
"""Statuses that are retried as often as the deadline allows."""
BROKEN = (500, 502, 504)
"""Statuses of a failing proxy or server: a few attempts."""
REDIRECTS = (301, 302, 303, 307, 308)
PAUSES = (0.1, 0.4, 1.0)
"""Seconds before each further attempt, unless the server names a time."""


class Session:
    """One connection and its credentials.

    Args:
        find: Reads the credentials.
        known: The credentials that another session uses already.
    """

    def __init__(self, find: Callable[[], Access], known: Access | None = None) -> None:
        self._find = find
        self.access = known
        self._transport: Transport | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._transport:
            self._transport.close()

    def ask(self, method: str, path: str, deadline: Deadline, body: bytes | None = None, **headers: str) -> Reply:
        """Send a request and return the response that further retries would not improve.

        All requests of this program are idempotent, so one is repeated if its connection fails.

        Raises:
            UnavailableError: There is no response.
            NplconfError: `find` has no credentials.
        """
        renewed, attempt = False, 0
        while True:
            reply, problem = self._attempt(method, path, deadline, body, headers)
            if reply and reply.status == 401 and not renewed:
                renewed = True
                if self._renew():
                    continue
            pause = _pause(reply, attempt)
            if pause is not None and pause <= deadline.left:
                deadline.pause(pause)
                attempt += 1
            elif reply is None:
                raise problem or UnavailableError("no answer")
            else:
                return _here(reply, self._ready().server)

    def rejected(self) -> str:
        """Return the message for a 401."""
        return self.access.rejected() if self.access else "The API server rejected our credentials (401)"

    def granted(self, reply: Reply, verb: str, resource: str) -> Reply:
        """Return a reply of success. Raises PermissionDeniedError (401, 403), UnavailableError."""
        if reply.status == 200:
            return reply
        answer = refusal(reply)
        message = answer.message if answer else "and not from an API server"
        if reply.status == 401:
            raise PermissionDeniedError(self.rejected())
        if reply.status == 403:
            raise PermissionDeniedError(
                f"the right to {verb} {resource} is missing: {message}; see: nplconf example rbac"
            )
        raise UnavailableError(f"the API server cannot {verb} {resource}: {reply.status} {message}")

    def stream(self, path: str, seconds: float, silence: float, longest: int) -> Iterator[bytes] | None:
        """Open a watch and return its lines; None for a 410. Rejected credentials are read again once.

        Args:
            path: See `Transport.stream`.
            seconds: For the head of the response.
            silence: See `Transport.stream`.
            longest: See `Transport.stream`.

        Raises:
            UnavailableError: The watch cannot be opened.
            PermissionDeniedError: It is refused.
            NplconfError: `find` has no credentials.
        """
        with Deadline(seconds) as deadline:
            opened = self._ready().stream(path, deadline, silence, longest)
            if isinstance(opened, Reply) and opened.status == 401 and self._renew():
                opened = self._ready().stream(path, deadline, silence, longest)
            if not isinstance(opened, Reply):
                return opened
        if opened.status == 410:
            return None
        self.granted(_here(opened, self._ready().server), "watch", path.partition("?")[0])
        raise UnavailableError("the API server answered a watch with something else")

    def _attempt(
        self, method: str, path: str, deadline: Deadline, body: bytes | None, headers: dict[str, str]
    ) -> tuple[Reply | None, UnavailableError | None]:
        transport = self._ready()
        try:
            return transport.send(method, path, deadline, body, **headers), None
        except UnavailableError as err:
            return None, err

    def _ready(self) -> Transport:
        if self._transport is None:
            self.access = self.access or self._find()
            self._transport = Transport(self.access)
        return self._transport

    def _renew(self) -> bool:
        """Read the credentials again. Return whether they differ."""
        before, self.access = self.access, None
        self.close()
        self._transport = None
        self._ready()
        return self.access != before


def _pause(reply: Reply | None, attempt: int) -> float | None:
    """Return the seconds before the next attempt, None if there is none."""
    own = PAUSES[min(attempt, len(PAUSES) - 1)]
    if reply and reply.status in BUSY:
        return max(own, _asked(reply.headers.get("retry-after", "").strip()))
    if reply is None or reply.status in BROKEN:
        return own if attempt < len(PAUSES) else None
    return None


def _asked(text: str) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 for anything else."""
    if text.isascii() and text.isdigit():
        return float(text)
    with suppress(ValueError, OverflowError, TypeError, IndexError):  # each of them is raised for some text
        return parsedate_to_datetime(text).timestamp() - time.time()
    return 0.0


def _here(reply: Reply, server: str) -> Reply:
    """Refuse redirects: an API server sends none, and no other server may get the token. Raises UnavailableError."""
    if reply.status not in REDIRECTS:
        return reply
    raise UnavailableError(f"{server}: redirects to {_target(reply, server)}: refused")


def _target(reply: Reply, server: str) -> str:
    try:
        target = urlsplit(urljoin(server, reply.headers.get("location", "")))
    except ValueError:
        return "what is no URL"
    return f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
