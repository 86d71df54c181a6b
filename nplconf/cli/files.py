"""Results that go to files."""

import os
from pathlib import Path

from nplconf.errors import PermissionDeniedError


def write_output(path: str, text: str) -> bool:
    """Replace a file atomically, unless it says the same already; True when it was written.

    Raises PermissionDeniedError when it cannot be.
    """
    target = Path(path)
    try:
        if target.is_file() and target.read_bytes() == text.encode():
            return False
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as err:
        raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return True
