"""A program that tries to bind ports of the range by every means: `intruder.py FIRST LAST UNTIL`.

It tries every port, TCP and UDP, on every kind of address, with every option that lets sockets share a port, and
listens where it can, as root. It does not bind to a device: beside such a socket the kernel lets others have a UDP
port. It stops when the file UNTIL exists, and prints one line of JSON: the number of attempts, and the ports that it
got.
"""

import itertools
import json
import socket
import sys
from pathlib import Path

REUSE = [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
FREEBIND, TRANSPARENT, V6_FREEBIND, V6_TRANSPARENT = 15, 19, 78, 75
PLACES: list[tuple[int, str, list[tuple[int, int, int]]]] = [
    (socket.AF_INET, "", []),
    (socket.AF_INET, "127.0.0.1", []),
    (socket.AF_INET, "10.10.10.10", []),
    (socket.AF_INET, "203.0.113.9", [(socket.IPPROTO_IP, FREEBIND, 1)]),
    (socket.AF_INET, "203.0.113.9", [(socket.IPPROTO_IP, TRANSPARENT, 1)]),
    (socket.AF_INET6, "::", []),
    (socket.AF_INET6, "::", [(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)]),
    (socket.AF_INET6, "::1", []),
    (socket.AF_INET6, "2001:db8::9", [(socket.IPPROTO_IPV6, V6_FREEBIND, 1)]),
    (socket.AF_INET6, "2001:db8::9", [(socket.IPPROTO_IPV6, V6_TRANSPARENT, 1)]),
]
WAYS = list(itertools.product((socket.SOCK_STREAM, socket.SOCK_DGRAM), REUSE, PLACES))


def got(number: int, kind: int, reuse: tuple[int, ...], place: tuple[int, str, list[tuple[int, int, int]]]) -> bool:
    """Whether the number could be had in this way."""
    family, address, options = place
    with socket.socket(family, kind) as sock:
        try:
            for option in reuse:
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            for level, option, value in options:
                sock.setsockopt(level, option, value)
            sock.bind((address, number))
            if kind == socket.SOCK_STREAM:
                sock.listen()
        except OSError:
            return False
    return True


def main(first: int, last: int, until: Path) -> None:
    """Every way for every number, again and again; each at least once."""
    tried, rounds = 0, 0
    prey: list[str] = []
    while not rounds or not until.exists():
        for way in WAYS:
            for number in range(first, last + 1):
                tried += 1
                if got(number, *way):
                    prey.append(f"{number}: {way}")
        rounds += 1
    sys.stdout.write(json.dumps({"tried": tried, "rounds": rounds, "ways": len(WAYS), "got": prey[:20]}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
