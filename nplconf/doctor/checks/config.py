"""Check `config`: the configuration, and the files that it names, can be read and make sense."""

import os
import stat
from pathlib import Path

from nplconf.doctor.facts import Facts, Fault
from nplconf.doctor.verdict import Check, Verdict, fail, ok

HOLD_UNIT = "/etc/systemd/system/nplconf-hold.service"


def faults(facts: Facts) -> tuple[Fault, ...]:
    """Return what is wrong: what the command line found, and a file that the hold daemon, not root, cannot read."""
    path = facts.settings.config
    if not (os.path.exists(HOLD_UNIT) and os.path.exists(path)) or _public(Path(path)):  # noqa: PTH110 never raises
        return facts.sources.faults
    hidden = Fault(
        f"{path}: the hold daemon does not run as root and cannot read it", f"chmod go+rX {Path(path).parent} {path}"
    )
    return (*facts.sources.faults, hidden)


def _public(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH and path.parent.stat().st_mode & stat.S_IXOTH)


def config(facts: Facts) -> Verdict:
    """Nothing is wrong with the configuration."""
    if found := facts.read(faults):
        return fail("; ".join(fault.message for fault in found), found[0].fix)
    return ok("valid")


CHECKS = (Check("config", 120, config),)
