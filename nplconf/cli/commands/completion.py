"""`nplconf completion bash|zsh|fish`: print a completion script.

For values that the script cannot know, it calls `completion nodes` and `completion ports`.
"""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from nplconf.cli import options
from nplconf.errors import NplconfError
from nplconf.settings import Settings

SHELLS = ("bash", "zsh", "fish")
resolve = options.salvaged
"""Return the settings. A wrong config file must not break a prompt."""
_MOST = 4 * 2**20
"""Bytes of a file that are read for node names. Parsing takes about 1 s per 4 MiB, while a user waits at a prompt."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    kinds = (*SHELLS, "nodes", "ports")
    parser.add_argument(
        "kind", choices=kinds, help="the shell; nodes and ports print what the scripts offer: node names, live ports"
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="with nodes: the command line, after --")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the script or the words. What cannot be read gives no words, since a prompt must show no error."""
    from nplconf.cli import shells

    if arguments.kind in SHELLS:
        print(shells.script(arguments.kind), end="")
        return 0
    words = _nodes(arguments.words) if arguments.kind == "nodes" else _ports(settings)
    print("".join(f"{word}\n" for word in sorted(set(words))), end="")
    return 0


def _ports(settings: Settings) -> Iterator[str]:
    """Yield the live node ports in the form that `explain` accepts."""
    from nplconf.cli.connections import open_node
    from nplconf.run.reconcile import show

    with suppress(NplconfError, OSError):
        mappings = show(open_node(settings), settings).mappings
        yield from (f"{mapping.protocol}/{mapping.node_port}" for mapping in mappings)


def _nodes(words: Iterable[str]) -> Iterator[str]:
    """Yield the node names in the plans, plan directories and cluster state files of a command line."""
    for path in map(Path, words):
        if path.is_dir():
            yield from (plan.stem for plan in path.glob("*.yaml"))
        elif path.is_file() and path.stat().st_size <= _MOST:
            with suppress(NplconfError, OSError):
                yield from _nodes_of(path)


def _nodes_of(path: Path) -> Iterable[str]:
    from nplconf.cluster.file.dump import FileCluster
    from nplconf.files.reading import read_text
    from nplconf.plan.document import KIND
    from nplconf.plan.validate import load

    text = read_text(str(path))
    if f"kind: {KIND}" in text:
        plan, _ = load(text, str(path))
        return (plan.node,) if plan else ()
    return (node.name for node in FileCluster((str(path),), None).snapshot(None).nodes)
