"""The deb and the rpm of this checkout, as `make packages` builds them."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(out: Path, *kinds: str, release: str = "1") -> None:
    """Build packages into a directory. kinds: "deb", "rpm". release: of the same version.

    CalledProcessError when it fails.
    """
    environment = os.environ | {"OUT": str(out), "RELEASE": release}
    subprocess.run([ROOT / ".ci/packages/build", *kinds], env=environment, check=True, timeout=600)
