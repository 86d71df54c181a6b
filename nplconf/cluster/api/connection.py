"""A connection to an API server: a proxy, TLS, and requests in one write."""

import base64
import http.client
import select
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nplconf.cluster.api.access import Access

CONNECT_SECONDS = 5.0


class Connection(http.client.HTTPConnection):
    """A connection, through a proxy if there is one, with a TLS name that may differ from the host."""

    def __init__(self, access: Access, context: ssl.SSLContext | None) -> None:
        target = urlsplit(access.server)
        port = target.port or (443 if context else 80)
        hop = urlsplit(access.proxy) if access.proxy else target
        super().__init__(hop.hostname or "", hop.port or port, timeout=CONNECT_SECONDS)
        if access.proxy:
            self.set_tunnel(target.hostname or "", port, _known_to_proxy(hop))
        self._tls = context
        self._parts: list[bytes] | None = None
        self._name = access.server_name or target.hostname

    def connect(self) -> None:
        """Connect, with TLS if the server has it."""
        super().connect()
        if self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)

    def send_at_once(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a request in one write. `request` writes head and body separately, so that the server reads twice."""
        self._parts = []
        try:
            self.request(method, path, data, headers)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        self.sock.sendall(whole)

    def send(self, data: Any) -> None:
        """Send a part of a request; during `send_at_once` only collect it."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


def _known_to_proxy(hop: SplitResult) -> dict[str, str]:
    if hop.username is None:
        return {}
    words = f"{unquote(hop.username)}:{unquote(hop.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}


def is_over(sock: socket.socket | None) -> bool:
    """Return whether the peer has closed an idle connection. An API server does that after 90 s without a request."""
    if sock is None:
        return True
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    return bool(ready.poll(0))


def probe_peer(sock: socket.socket) -> None:
    """Let the kernel notice within half a minute that the peer has disappeared without closing the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
