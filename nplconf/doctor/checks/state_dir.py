"""Check `state-dir`: only root can open the state directory, which is also the lock of every run."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked
from nplconf.node.state import Openness, openness


def openable(facts: Facts) -> Openness | Unknown | None:
    """Return how other users can open the state directory; None when they cannot, or it is not there yet."""
    try:
        return openness(facts.settings.state_dir)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as err:
        return Unknown(f"{facts.settings.state_dir}: {err.strerror}", see="capabilities")


def state_dir(facts: Facts) -> Verdict:
    """Nobody but root can open the state directory."""
    found, directory = facts.read(openable), facts.settings.state_dir
    if isinstance(found, Unknown):
        return unchecked(found)
    if found:
        return fail(found.fault, found.fix)
    return ok(f"only root can open {directory}")


CHECKS = (Check("state-dir", 190, state_dir),)
