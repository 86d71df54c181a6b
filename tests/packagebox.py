"""The deb and the rpm of this checkout, as `make packages` builds them, but less compressed."""

import os
import subprocess
from pathlib import Path

import kube_binaries
import pytest
from onlyonce import made_once

ROOT = Path(__file__).parents[1]


def built(factory: pytest.TempPathFactory) -> Path:
    """Return the directory with both packages. The first worker that asks builds them, for all tests of the session.

    CalledProcessError when that fails.
    """
    base = factory.getbasetemp()
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return made_once(session / "packages", lambda partial: build(partial, "deb", "rpm"))


def build(out: Path, *kinds: str, release: str = "1") -> None:
    """Build packages into a directory. kinds: "deb", "rpm". release: of the same version.

    CalledProcessError when it fails.
    """
    variables = {"OUT": str(out), "RELEASE": release, "CACHE": str(kube_binaries.cache() / "packages"), "LEVEL": "0"}
    subprocess.run([ROOT / ".ci/packages/build", *kinds], env=os.environ | variables, check=True, timeout=600)
