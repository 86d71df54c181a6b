"""Results that are written to files."""

from pathlib import Path

from nplconf.errors import PermissionDeniedError
from nplconf.files import writing


def write_output(path: str, text: str) -> bool:
    """Replace a file atomically unless it has the same text. Return True if it was written.

    Raises:
        PermissionDeniedError: It cannot be written.
    """
    target = Path(path)
    try:
        if target.is_file() and target.read_bytes() == text.encode():
            return False
        writing.replace(target, text.encode())
    except OSError as err:
        raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return True
