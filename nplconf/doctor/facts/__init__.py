"""Facts about this node and its cluster, each read at most once, when the first check asks for it.

A fact is what a reader returns: a function that takes `Facts`. A reader that only one check needs stands in the module
of that check. Readers that several checks share stand in the modules of this package. What cannot be read is a value,
too (`Unknown`). No reader changes anything on the node.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from nplconf.cluster import Cluster
from nplconf.node.linux import LinuxNode
from nplconf.settings import Settings

Fact = TypeVar("Fact")


class Unknown(NamedTuple):
    """A fact that could not be read.

    see: the check that names the cause: "capabilities" where root could read it. fix: "" where none is known.
    """

    why: str
    see: str = ""
    fix: str = ""


class Fault(NamedTuple):
    """Something that is wrong with the configuration, and the command that fixes it."""

    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class FactSources:
    """The input of the readers from the command line.

    units: path -> text of the files that this nplconf would install. faults: of the configuration. lost: whether
    options of the configuration are wrong, so that the settings are not what the administrator wants. salvaged:
    whether other options of the file are in force.
    """

    cluster: Callable[[], Cluster]
    node: Callable[[], LinuxNode]
    units: Callable[[], Mapping[str, str]]
    faults: tuple[Fault, ...] = ()
    lost: bool = False
    salvaged: bool = False


class Facts:
    """The facts of one examination. settings: the options of the command."""

    def __init__(
        self, settings: Settings, sources: FactSources, known: Mapping[Callable[..., Any], object] | None = None
    ) -> None:
        """Start with facts that are known already (by their reader)."""
        self.settings = settings
        self.sources = sources
        self._known = dict(known or {})

    def read(self, reader: Callable[["Facts"], Fact]) -> Fact:
        """Return a reader's fact, which is read at most once."""
        if reader not in self._known:
            self._known[reader] = reader(self)
        return cast("Fact", self._known[reader])


LOST = Unknown("the settings are not known (see config)", see="config")


def is_closed(path: str) -> bool:
    """Return whether this process may not read a file, or not connect to a socket, that may exist."""
    try:
        return Path(path).exists() and not os.access(path, os.W_OK if Path(path).is_socket() else os.R_OK)
    except PermissionError:
        return True
