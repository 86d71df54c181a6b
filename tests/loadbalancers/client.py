"""A client at a steady rate: one line of JSON for each request, until SIGTERM.

    client.py PORT RATE close|keep

A request on a connection that the other side has closed without a byte of a response is sent once more on a new
connection, as every HTTP client does: a server may close an idle connection at any time.
"""

import http.client
import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 3.0
WORKERS = 8
local = threading.local()
running = threading.Event()


def main(port: int, rate: float, keep: bool) -> None:  # noqa: FBT001 three words of a command line
    """Send requests until SIGTERM."""
    running.set()
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    due = time.time()
    with ThreadPoolExecutor(WORKERS) as workers:
        while running.is_set():
            workers.submit(one, port, keep)
            due += 1 / rate
            time.sleep(max(0.0, due - time.time()))


def one(port: int, keep: bool) -> None:  # noqa: FBT001 see main
    """Send one request, and print what became of it."""
    began = time.time()
    outcome = attempt(port, keep)
    print(json.dumps({"at": began, "outcome": outcome}), flush=True)


def attempt(port: int, keep: bool) -> str:  # noqa: FBT001 see main
    """Return what became of a request: "ok", "empty" (no server), "dead" (a server that failed), "broken"."""
    used = getattr(local, "connection", None)
    for connection in [used, None] if used else [None]:
        fresh = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        local.connection = None
        try:
            fresh.request("GET", "/", headers={} if keep else {"Connection": "close"})
            response = fresh.getresponse()
            response.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            fresh.close()
            if connection is None:
                return "broken"
            continue
        except (OSError, http.client.HTTPException):
            fresh.close()
            return "broken"
        if keep and not response.will_close:
            local.connection = fresh
        else:
            fresh.close()
        if response.status == 200:
            return "ok"
        return "dead" if ":" in (response.getheader("X-Server") or "") else "empty"
    return "broken"


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "keep")
