"""The checks of `nplconf doctor`, one small module per subject.

To add a check, add a module here (or a function to the module of its subject): a function that takes `Facts` and
returns a `Verdict`, and an entry in the module's `CHECKS`. `Check.order` says where it stands in the output,
`Check.applies` with which settings it is made. Nothing else needs to be registered: `every` finds all modules of this
package. Read a fact with `facts.read(reader)`; put the reader into the same module unless several checks need it
(`nplconf.doctor.facts`). Then add a row to the table of `nplconf/cli/README.md` and a case to `tests/doctor/checks/`.
"""

import pkgutil
from functools import cache
from importlib import import_module

from nplconf.doctor.verdict import Check


@cache
def every() -> tuple[Check, ...]:
    """Return the checks of all modules of this package, in their order."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    found: list[Check] = [check for module in modules for check in module.CHECKS]
    return tuple(sorted(found, key=lambda check: check.order))
