"""`python -m loadbalancers`: every story with every mode; prints the table of the page on load balancers.

Needs root, haproxy and nginx; works in network namespaces of its own. It takes about a quarter of an hour.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import area as areas
import kube
from loadbalancers.stories import MODES, STORIES, Lost, play

HEAD = "| event | mode | HAProxy | HAProxy, keep-alive | nginx | nginx, keep-alive |\n"


def main() -> int:
    """Play, print; 0 unless a story breaks."""
    parser = argparse.ArgumentParser(prog="loadbalancers", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only stories with this text in their name")
    parser.add_argument("--mode", default="", metavar="TEXT", help="only this mode")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as where, kube.running(_made(where, "plane")) as plane:
        areas.install(plane, "rbac.yaml")
        areas.install(plane, "reader.yaml")
        for story in STORIES:
            for mode in MODES:
                if arguments.only in story.name and arguments.mode in ("", mode.name):
                    directory = _made(where, f"{story.name} {mode.name}".replace(" ", "-").replace(",", ""))
                    rows.append(row(story.name, mode.name, play(story, mode, plane, directory)))
                    print(rows[-1], end="", file=sys.stderr, flush=True)
    print(HEAD + "| --- " * 6 + "|\n" + "".join(rows), end="")
    return 0


def _made(where: str, name: str) -> Path:
    path = Path(where, name)
    path.mkdir()
    return path


def row(story: str, mode: str, found: Iterable[Lost]) -> str:
    """One row: for each reader the lost requests, and the seconds without a server and with a dead one."""
    cells = (f"{one.lost} ({one.empty:.1f} / {one.dead:.1f})" if one.lost else "0" for one in found)
    return f"| {story} | {mode} | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
