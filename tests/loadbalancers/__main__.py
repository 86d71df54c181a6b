"""`python -m loadbalancers`: every story with every mode; prints the two tables of the page on load balancers.

The table of AKO and F5 CIS comes first: models of both in virtual time, in seconds and without root. The table of
HAProxy and nginx needs root and both programs, works in network namespaces of its own, and takes a quarter of an hour.
"""

import argparse
import sys
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

import area as areas
import kube

from loadbalancers import models
from loadbalancers.events import MODES, STORIES, Mode, Story
from loadbalancers.stories import Lost, play

HEAD = "| event | mode | HAProxy | HAProxy, keep-alive | nginx | nginx, keep-alive |\n"


def main() -> int:
    """Play, print; 0 unless a story breaks."""
    parser = argparse.ArgumentParser(prog="loadbalancers", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only stories with this text in their name")
    parser.add_argument("--mode", default="", metavar="TEXT", help="only this mode")
    parser.add_argument("--models", action="store_true", help="only the table of AKO and F5 CIS")
    arguments = parser.parse_args()
    stories = [story for story in STORIES if arguments.only in story.name]
    modes = [mode for mode in MODES if arguments.mode in ("", mode.name)]
    print(models.HEAD + "".join(models.rows(stories, modes)), flush=True)
    if not arguments.models:
        print(real(stories, modes), end="")
    return 0


def real(stories: Iterable[Story], modes: Collection[Mode]) -> str:
    """Return the table of HAProxy and nginx."""
    rows = []
    with tempfile.TemporaryDirectory() as where, kube.running(_made(where, "plane")) as plane:
        areas.install(plane, "rbac.yaml")
        areas.install(plane, "reader.yaml")
        for story in stories:
            for mode in modes:
                directory = _made(where, f"{story.name} {mode.name}".replace(" ", "-").replace(",", ""))
                rows.append(row(story.name, mode.name, play(story, mode, plane, directory)))
                print(rows[-1], end="", file=sys.stderr, flush=True)
    return HEAD + "| --- " * 6 + "|\n" + "".join(rows)


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
