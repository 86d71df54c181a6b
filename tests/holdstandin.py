"""A stand-in for the hold daemon: it says that it holds a range for every protocol, whatever the kernel has."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from nplconf.hold import protocol
from nplconf.model import PROTOCOLS, PortRange
from nplconf.settings import DEFAULT_RANGE


@contextlib.contextmanager
def standing_in(path: Path, port_range: PortRange = DEFAULT_RANGE) -> Iterator[None]:
    """Answer every question at this path."""
    output = protocol.answer(port_range, len(PROTOCOLS) * len(port_range), (), PROTOCOLS)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_answer, args=(listener, output))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(listener: socket.socket, output: bytes) -> None:
    with contextlib.suppress(OSError):  # the listener is shut down
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(protocol.MAX_QUESTION)
                client.sendall(output)
