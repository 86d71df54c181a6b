"""Asking an API server with patience, up to a deadline: it may be busy, restarting, or no longer know our token."""

import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from nplconf.cluster.credentials import Access
from nplconf.cluster.transport import Deadline, Reply, Transport
from nplconf.errors import UnavailableError

BUSY = (429, 503)
"""Statuses that ask to come back: as often as the deadline allows."""
BROKEN = (500, 502, 504)
"""Statuses of something that fails on the way: a few attempts."""
REDIRECTS = (301, 302, 303, 307, 308)
PAUSES = (0.1, 0.4, 1.0)
"""Seconds before each further attempt, where the server names none."""


class Session:
    """One connection and the credentials for it. find: the credentials as they are now."""

    def __init__(self, find: Callable[[], Access]) -> None:
        self._find = find
        self._access: Access | None = None
        self._transport: Transport | None = None

    def close(self) -> None:
        """Let the connection go."""
        if self._transport:
            self._transport.close()

    def ask(self, method: str, path: str, deadline: Deadline, body: bytes | None = None, **headers: str) -> Reply:
        """One answer that waiting does not better; what it means is the caller's to say.

        Every request of ours may be done twice, so one is repeated when its connection fails. Raises UnavailableError
        when there is no answer, and what finding the credentials raises.
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
                time.sleep(pause)
                attempt += 1
            elif reply is None:
                raise problem or UnavailableError("no answer")
            else:
                return _here(reply, self._ready().server)

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
            self._access = self._find()
            self._transport = Transport(self._access)
        return self._transport

    def _renew(self) -> bool:
        """Read the credentials again; False when they are the same as before."""
        before = self._access
        self.close()
        self._transport = None
        self._ready()
        return self._access != before


def _pause(reply: Reply | None, attempt: int) -> float | None:
    """Seconds to wait before asking again; None when there is no point in it."""
    own = PAUSES[min(attempt, len(PAUSES) - 1)]
    if reply and reply.status in BUSY:
        asked = reply.headers.get("retry-after", "")
        return max(own, float(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 6 else own
    if reply is None or reply.status in BROKEN:
        return own if attempt < len(PAUSES) else None
    return None


def _here(reply: Reply, server: str) -> Reply:
    """Raises UnavailableError for a redirect: an API server sends none, and our token is for nobody else."""
    if reply.status not in REDIRECTS:
        return reply
    target = urlsplit(urljoin(server, reply.headers.get("location", "")))
    raise UnavailableError(f"{server}: redirects to {target.scheme}://{target.netloc}{target.path}: refused")
