"""`nplconf` whose wall clock and clock since boot are ahead. The first argument is a file with the seconds.

The file is read again for each time that is asked for, so that the clocks of a running process jump.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nplconf.__main__ import start


def main() -> int:
    """Run the command."""
    file = Path(sys.argv.pop(1))
    time.time = functools.partial(_ahead, time.time, file)
    time.clock_gettime = functools.partial(_ahead, time.clock_gettime, file)
    return start()


def _ahead(clock: Callable[..., float], file: Path, *arguments: int) -> float:
    return clock(*arguments) + float(file.read_text())


if __name__ == "__main__":
    sys.exit(main())
