"""The deb and the rpm of this checkout, as `make packages` builds them, but less compressed."""

import fcntl
import os
import subprocess
from pathlib import Path

import kube_binaries
import pytest

ROOT = Path(__file__).parents[1]


def built(factory: pytest.TempPathFactory) -> Path:
    """Return the directory with both packages. The first worker that asks builds them, for all tests of the session.

    CalledProcessError when that fails.
    """
    base = factory.getbasetemp()
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (session / "packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (packages := session / "packages").exists():
            partial = session / "packages.new"
            build(partial, "deb", "rpm")
            partial.rename(packages)
    return packages


def build(out: Path, *kinds: str, release: str = "1") -> None:
    """Build packages into a directory. kinds: "deb", "rpm". release: of the same version.

    CalledProcessError when it fails.
    """
    variables = {"OUT": str(out), "RELEASE": release, "CACHE": str(kube_binaries.cache() / "packages"), "LEVEL": "0"}
    subprocess.run([ROOT / ".ci/packages/build", *kinds], env=os.environ | variables, check=True, timeout=600)
