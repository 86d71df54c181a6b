"""The image of nplconf, built from this checkout, and programs that run in it as in a container."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kube_binaries
from onlyonce import made_once

ROOT = Path(__file__).parents[1]
BUILDER = ROOT / ".ci/image.py"
SOURCES = ("image.py", "image-requirements.txt")
START = """
import ctypes, json, os, sys
root, kept, argv, environment = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
def prctl(*words):
    if libc.prctl(*words, *[0] * (5 - len(words))): raise OSError(ctypes.get_errno(), "prctl")
last = int(open("/proc/sys/kernel/cap_last_cap").read())
os.chroot(root); os.chdir("/")
for capability in range(last + 1):
    if capability not in kept: prctl(24, capability)  # PR_CAPBSET_DROP: exec gives root what is in the bounding set
prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
program = next(path for path in (f"/usr/bin/{argv[0]}", f"/usr/sbin/{argv[0]}", argv[0]) if os.path.exists(path))
os.execve(program, argv, environment)
"""
"""Starts a program in the root, with these capabilities and no others."""
MOUNT = """
set -eu
root=$1; shift
mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"
mount -t proc -o ro proc "$root/proc"; mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do mount --bind "${1%%:*}" "$root${1#*:}"; shift; done
shift
exec "$@"
"""
NET_ADMIN, NET_RAW = 12, 13


def builder(*arguments: object, **variables: str) -> str:
    """Run the image builder; what it prints."""
    command = [sys.executable, str(BUILDER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inputs(directory: Path) -> Path:
    """What the image is made of: packages, downloaded once into the cache, and this checkout's wheel."""
    digest = hashlib.sha256(b"".join((ROOT / ".ci" / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    cached = made_once(kube_binaries.cache() / f"image-inputs-{digest}", lambda partial: builder("fetch", partial))
    shutil.copytree(cached, directory, copy_function=os.link)
    builder("wheel", directory)
    return directory


def unpacked(archive: Path, directory: Path) -> Path:
    """The root directory of a container of the image: its layers, one over the other."""
    layers = directory / "archive"
    _extract(archive, layers)
    root = directory / "root"
    for digest in [layer["digest"] for layer in manifest(layers)["layers"]]:
        _extract(layers / "blobs" / digest.replace(":", "/"), root)
    return root


def _extract(archive: Path, directory: Path) -> None:
    """Unpack an archive that this checkout has made. Python before 3.11.4 does not know `filter=`."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = lambda member, _path: member
        tar.extractall(directory)


def manifest(layers: Path) -> dict[str, Any]:
    """The manifest of the only image of an unpacked archive."""
    (entry,) = json.loads((layers / "index.json").read_text())["manifests"]
    return dict(json.loads((layers / "blobs" / entry["digest"].replace(":", "/")).read_text()))


@dataclass(frozen=True)
class Box:
    """A container: read-only root, all capabilities dropped but these, no new privileges, in a network namespace."""

    root: Path
    space: str
    mounts: Sequence[str] = ()
    """HOST:INSIDE, writable."""
    capabilities: Sequence[int] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *argv: str) -> list[str]:
        environment = {"PATH": "/usr/sbin:/usr/bin", "LANG": "C.UTF-8", **self.environment}
        start = [sys.executable, "-c", START, str(self.root)]
        start += [json.dumps(what) for what in (list(self.capabilities), argv, environment)]
        inside = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            MOUNT,
        ]
        return ["ip", "netns", "exec", self.space, *inside, "sh", str(self.root), *self.mounts, "--", *start]

    def run(self, *argv: str, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run a program; its exit code is checked unless it is None."""
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, check=False, timeout=120)
        assert code is None or done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
