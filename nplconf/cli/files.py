"""Results that go to files."""

from pathlib import Path

from nplconf.errors import PermissionDeniedError
from nplconf.files import writing


def write_output(path: str, text: str) -> bool:
    """Replace a file atomically, unless it says the same already; True when it was written.

    Raises PermissionDeniedError when it cannot be.
    """
    target = Path(path)
    try:
        if target.is_file() and target.read_bytes() == text.encode():
            return False
        writing.replace(target, text.encode())
    except OSError as err:
        raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return True
