"""`python -m nplconf`."""

import sys

from nplconf.cli.main import main

sys.exit(main())
