"""Results that go to files."""

import os
import shutil
from pathlib import Path

from nplconf.errors import PermissionDeniedError


def write_output(path: str, text: str) -> bool:
    """Replace a file in one step, unless it says the same already; True when it was written.

    A link stays, and what it leads to is replaced; what is no file (/dev/stdout) is written to. Raises
    PermissionDeniedError when it cannot be.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - Path.exists raises for some names
            Path(path).write_text(text, encoding="utf-8")
            return True
        target = Path(os.path.realpath(path))
        if target.is_file() and target.read_bytes() == text.encode():
            return False
        _replace(target, text)
    except OSError as err:
        raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return True


def _replace(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("x", encoding="utf-8") as file:  # in a directory of many it must be one that we have made
            file.write(text)
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
