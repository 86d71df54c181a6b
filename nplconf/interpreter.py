"""The command that starts another Python, never with modules of the current directory or of a home directory.

Without `-P`, `python -m` searches the current directory first: root in another user's directory would run that user's
code. `-s` leaves out `~/.local`, since HOME may be another user's.
"""

import sys

PYTHON = (sys.executable, "-P", "-s")
SAFE_DIRECTORY = "/"
"""The working directory of child processes that need none of their own."""
