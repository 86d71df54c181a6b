"""The files that a run of watch mode depends on: the configuration, and the plan or policy.

Changes of both take effect without a restart. While a file is broken, its last good content stays in effect, and each
run is degraded.
"""

import argparse
import os
from dataclasses import replace

from nplconf.cli import messages, options, plans
from nplconf.errors import NplconfError
from nplconf.run.decision import Bounds
from nplconf.settings import Settings
from nplconf.watch.files import LastGood, signature

FIXED = ("node", "cluster_state", "write_back", "no_cluster", "kubeconfig", "listen", "log_format")
"""Options that cannot change while the process runs."""


class FollowedInputs:
    """The settings and bounds of the next run.

    Args:
        arguments: Those of the command line.
        settings: Those at the start of the process.
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
        """Read the configuration if it has changed. Return the settings of the next run."""
        self.settings = self._settings.get(signature([self._first.config]), self._resolved)
        return self.settings

    def bounds(self) -> Bounds:
        """Read the plan or policy if it has changed. Raises BadDataError if it was never good."""
        made_from = (self.settings, signature(self._bounding()))
        return self._bounds.get(made_from, lambda: plans.bounds(self._plan, self.settings, exact=self.settings.exact))

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a run uses something else than the present content of the files."""
        found = filter(None, (self._settings.problem, self._bounds.problem))
        return tuple(f"{problem}; the last good one stays in force" for problem in found)

    def paths(self) -> tuple[str, ...]:
        """Return the files whose change starts a run."""
        return (self._first.config, *self._bounding(), *self._first.cluster_state)

    def _resolved(self) -> Settings:
        found = options.resolve({name: value for name, value in self._given.items() if value is not None}, os.environ)
        first = {name: getattr(self._first, name) for name in FIXED}
        if edited := [name for name, value in first.items() if getattr(found, name) != value]:
            names = ", ".join(edited)
            messages.warning(f"{found.config}: {names}: a change takes effect when nplconf watch is restarted")
        return replace(found, **first)

    def _bounding(self) -> tuple[str, ...]:
        try:
            plan = plans.given(self._plan, self.settings)
        except NplconfError:  # the run raises this error
            plan = None
        return tuple(filter(None, (plan, self.settings.policy)))
