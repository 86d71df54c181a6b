"""What a run of watch mode depends on beside cluster and node: the configuration, and the plan or policy.

Both are followed in their files, without a restart. While a file is broken, what was last read from it stays in force,
and each run is degraded.
"""

import argparse
import os
from dataclasses import replace

from nplconf.cli import options, plans, say
from nplconf.errors import NplconfError
from nplconf.run.decision import Bounds
from nplconf.settings import Settings
from nplconf.watch.files import LastGood, signature

FIXED = ("node", "cluster_state", "write_back", "no_cluster", "kubeconfig", "listen", "log_format")
"""Options that are the same from the start to the end of a process."""


class Inputs:
    """The settings and bounds of the next run.

    Args:
        arguments: of the command line.
        settings: as they were at the start.
    """

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self._given = vars(arguments)
        self._plan: str | None = arguments.plan
        self._first = settings
        self._settings = LastGood(settings)
        self._bounds: LastGood[Bounds] = LastGood()
        self.settings = settings
        """As read last."""

    def renew(self) -> Settings:
        """Read the configuration where it was edited; the settings of the next run."""
        self.settings = self._settings.get(signature([self._first.config]), self._resolved)
        return self.settings

    def bounds(self) -> Bounds:
        """Read the plan or policy where it was edited. Raises BadDataError where there was no good one yet."""
        made_from = (self.settings, signature(self._bounding()))
        return self._bounds.get(made_from, lambda: plans.bounds(self._plan, self.settings, exact=self.settings.exact))

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a run uses something else than the files have."""
        found = filter(None, (self._settings.problem, self._bounds.problem))
        return tuple(f"{problem}; the last good one stays in force" for problem in found)

    def paths(self) -> tuple[str, ...]:
        """Return the files that make a run necessary when they change."""
        return (self._first.config, *self._bounding(), *self._first.cluster_state)

    def _resolved(self) -> Settings:
        found = options.resolve({name: value for name, value in self._given.items() if value is not None}, os.environ)
        first = {name: getattr(self._first, name) for name in FIXED}
        if edited := [name for name, value in first.items() if getattr(found, name) != value]:
            say.warning(f"{found.config}: {', '.join(edited)}: a change takes effect when nplconf watch is restarted")
        return replace(found, **first)

    def _bounding(self) -> tuple[str, ...]:
        try:
            plan = plans.given(self._plan, self.settings)
        except NplconfError:  # the run raises it
            plan = None
        return tuple(filter(None, (plan, self.settings.policy)))
