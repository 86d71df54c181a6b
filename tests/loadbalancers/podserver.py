"""A Pod's process: HTTP/1.1 with keep-alive. SIGTERM: it accepts nothing more, finishes what it has, and ends.

podserver.py PORT NAME
"""

import signal
import socket
import sys
import threading
import time

WORK_SECONDS = 0.005
DRAIN_SECONDS = 0.3
"""How long a request that is on its way may still arrive on an open connection."""
stopping = threading.Event()


def serve(port: int, name: str) -> None:
    """Answer every request with the name, until SIGTERM."""
    listener = socket.create_server(("", port), backlog=128)
    listener.settimeout(0.02)
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    print("ready", flush=True)
    threads = []
    while not stopping.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        threads.append(threading.Thread(target=answer, args=(connection, name.encode()), daemon=True))
        threads[-1].start()
    listener.close()
    end = time.monotonic() + 1
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def answer(connection: socket.socket, name: bytes) -> None:
    """Answer the requests of one connection."""
    data, end = b"", float("inf")
    connection.settimeout(0.05)
    with connection:
        while time.monotonic() < end:
            if stopping.is_set():
                end = min(end, time.monotonic() + DRAIN_SECONDS)
            try:
                chunk = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not chunk:
                return
            data += chunk
            while b"\r\n\r\n" in data:
                data = data.partition(b"\r\n\r\n")[2]
                time.sleep(WORK_SECONDS)
                last = b"Connection: close\r\n" if stopping.is_set() else b""
                head = b"HTTP/1.1 200 OK\r\n" + last + b"Content-Length: %d\r\n\r\n" % len(name)
                try:
                    connection.sendall(head + name)
                except OSError:
                    return
                if last:
                    return


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
