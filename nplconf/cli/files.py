"""Results that go to files."""

import os
from pathlib import Path

from nplconf.errors import PermissionDeniedError


def write_output(path: str, text: str) -> bool:
    """Replace a file atomically, unless it says the same already; True when it was written.

    Through a link its target is replaced; a device or a pipe (/dev/stdout) is written to. Raises PermissionDeniedError
    when it cannot be written.
    """
    target = Path(path)
    try:
        if target.is_file() and target.read_bytes() == text.encode():
            return False
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
        else:
            _replace(Path(os.path.realpath(path)), text)
    except OSError as err:
        raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return True


def _replace(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
