"""A product that several test processes need: the first one makes it, the others wait."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(target: Path, make: Callable[[Path], object]) -> Path:
    """Return a directory, made if it is missing. It has its name only when it is complete.

    Args:
        target: The directory.
        make: Makes it under another name, which does not exist yet. What it raises is raised again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_suffix(".new")
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.replace(target)
    return target
