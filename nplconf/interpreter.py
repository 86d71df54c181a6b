"""How nplconf starts another Python: never with modules of the current directory or of a home directory.

Without `-P`, `python -m` looks for modules in the current directory first: root in another user's directory would run
that user's code. `-s` leaves out `~/.local`, as HOME may be another user's.
"""

import sys

PYTHON = (sys.executable, "-P", "-s")
SAFE_DIRECTORY = "/"
"""Where a child runs that needs no directory of its own."""
