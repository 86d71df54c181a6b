"""The image: small, reproducible, complete, and usable with a read-only root and few capabilities."""

import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagebox
import pytest
import yaml
from holdspace import namespace
from imagebox import NET_ADMIN, NET_RAW, Box

pytestmark = pytest.mark.kernel
MB = 1_000_000
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
CLUSTER = imagebox.ROOT / "examples/cluster-6281.yaml"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imagebox.inputs(tmp_path_factory.mktemp("image") / "inputs")


@pytest.fixture(scope="module")
def archive(inputs: Path) -> Path:
    path = inputs.parent / "image.tar"
    imagebox.builder("write", inputs, path, **EPOCH)
    return path


@pytest.fixture(scope="module")
def root(archive: Path) -> Path:
    return imagebox.unpacked(archive, archive.parent)


@pytest.fixture
def space() -> Iterator[str]:
    with namespace() as name:
        yield name


def test_the_same_inputs_give_the_same_bytes(inputs: Path, archive: Path, tmp_path: Path) -> None:
    for file in inputs.rglob("*"):
        os.utime(file, (1, 1))
    before = os.umask(0o077)
    try:
        imagebox.builder(
            "write", inputs, tmp_path / "again.tar", TMPDIR=str(tmp_path), LANG="C", TZ="Asia/Tokyo", **EPOCH
        )
    finally:
        os.umask(before)
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_it_is_smaller_than_150_mb_uncompressed(archive: Path, root: Path) -> None:
    files = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert archive.stat().st_size < 150 * MB
    assert files < 100 * MB


def test_labels_and_user_are_what_the_containerfile_has(root: Path) -> None:
    layers = root.parent / "archive"
    described = imagebox.manifest(layers)["config"]["digest"].replace(":", "/")
    config = json.loads((layers / "blobs" / described).read_text())["config"]
    page = (imagebox.ROOT / ".ci/Containerfile").read_text()
    for key, value in re.findall(r'(org\.\S+)="([^"]*)"', page):
        assert config["Labels"][key] == value
    assert config["User"] == re.findall(r"(?m)^USER (.*)$", page)[0]
    assert config["Env"] == re.findall(r"(?m)^ENV (.*)$", page)[0].split()
    assert config["Entrypoint"] == json.loads(re.findall(r"(?m)^ENTRYPOINT (.*)$", page)[0])
    assert config["Labels"]["org.opencontainers.image.version"] == importlib.metadata.version("nplconf")


def test_scanners_find_what_is_in_it(root: Path, inputs: Path) -> None:
    assert "trixie" in (root / "etc/os-release").read_text()
    listed = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"python3.13-minimal", "iptables", "libssl3t64", "nftables"} <= listed
    licences = {path.parent.name for path in (root / "usr/share/doc").glob("*/copyright")}
    assert {"iptables", "libc6"} <= licences
    wanted = {path.name.split("-")[0] for path in (inputs / "wheels").iterdir()}
    assert {path.name.split("-")[0] for path in root.glob("usr/lib/python3/dist-packages/*.dist-info")} == wanted


def test_every_program_and_library_finds_its_libraries(root: Path, space: str) -> None:
    loader = "/" + str(next(root.glob("usr/lib/*/ld-linux-*.so.*")).relative_to(root))
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    programs = [str(path.relative_to(root)) for path in files if path.read_bytes()[:4] == b"\x7fELF"]
    assert len(programs) > 100
    check = 'for file; do "$0" --list "$file" >/dev/null 2>&1 || "$0" --verify "$file" || echo "$file"; done'
    found = Box(root, space).run("sh", "-c", check, loader, *programs, code=None)
    missing = [line for line in found.stdout.splitlines() if "ld-linux" not in line]
    assert missing == []


def test_every_module_can_be_imported_without_what_was_left_out(root: Path, space: str) -> None:
    code = """
import importlib, pkgutil, sys, nplconf
for found in pkgutil.walk_packages(nplconf.__path__, "nplconf."):
    if not found.name.endswith("__main__"): importlib.import_module(found.name)
import jinja2, jsonschema, netaddr, prometheus_client, rich.console, rich.progress, yaml, ssl, ctypes
print(len(sys.modules))
"""
    assert int(Box(root, space).run("python3", "-Ps", "-c", code).stdout) > 300


def test_nothing_is_compiled_at_run_time(root: Path, space: str) -> None:
    done = Box(root, space).run("python3", "-Ps", "-v", "-m", "nplconf", "schema", "plan")
    assert "code object from /usr/lib/python3" not in done.stderr
    assert done.stderr.count("matches /usr/lib/python3") > 50


def test_a_credential_plugin_is_refused_with_a_reason(root: Path, space: str, tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never"}}
    parts = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": user}],
    }
    context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    (tmp_path / "config").write_text(yaml.safe_dump(parts | context))
    box = Box(root, space, [f"{tmp_path}:/etc/nplconf"], [NET_ADMIN, NET_RAW])
    done = box.run("nplconf", "plan", "--kubeconfig", "/etc/nplconf/config", "--node", "n", code=78)
    assert "the Python package kubernetes is not installed" in done.stderr


@contextlib.contextmanager
def held(box: Box) -> Iterator[None]:
    """A hold daemon without any capability, as in the DaemonSet."""
    command = replace(box, capabilities=()).command(
        "nplconf", "hold", "--keep", "--ready-file", "/run/nplconf/ready", "--port-range", "61000-61099"
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            ready = Path(box.mounts[0].partition(":")[0], "ready")
            until = time.monotonic() + 15
            while not ready.exists():
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("backend", ["iptables-nft", "iptables-legacy", "nftables"])
def test_it_works_read_only_with_two_capabilities(root: Path, space: str, tmp_path: Path, backend: str) -> None:
    for directory in ("run", "state", "data"):
        (tmp_path / directory).mkdir(mode=0o700)
    (tmp_path / "data/cluster.yaml").write_bytes(CLUSTER.read_bytes())
    (tmp_path / "xtables.lock").touch()
    (root / "run/xtables.lock").touch()
    subprocess.run(["ip", "-n", space, "address", "add", "10.10.10.10/32", "dev", "lo"], check=True)
    mounts = [f"{tmp_path}/run:/run/nplconf", f"{tmp_path}/state:/var/lib/nplconf", f"{tmp_path}/data:/etc/nplconf"]
    mounts.append(f"{tmp_path}/xtables.lock:/run/xtables.lock")
    options = {"NPLCONF_PORT_RANGE": "61000-61099", "NPLCONF_BACKEND": backend, "NODE_NAME": "worker-1"}
    options["NPLCONF_CLUSTER_STATE"] = options["NPLCONF_WRITE_BACK"] = "/etc/nplconf/cluster.yaml"
    box = Box(root, space, mounts, [NET_ADMIN, NET_RAW], options)
    with held(box):
        assert "failed=0" in box.run("nplconf", "apply").stdout
        box.run("nplconf", "verify")
        assert json.loads(box.run("nplconf", "show", "-o", "json").stdout)["mappings"]
        assert box.run("nplconf", "cleanup").returncode == 0
    assert "CapEff:\t0000000000003000" in box.run("python3", "-c", "print(open('/proc/self/status').read())").stdout
    assert "Read-only file system" in box.run("sh", "-c", ": >/usr/x", code=2).stderr


def test_the_image_needs_no_root_to_render(root: Path) -> None:
    inside = [
        "chroot",
        "--userspec=65532:65532",
        str(root),
        "nplconf",
        "render",
        "--cluster-state",
        "-",
        "--node",
        "worker-1",
    ]
    with CLUSTER.open() as dump:
        done = subprocess.run(
            inside, stdin=dump, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/usr/sbin"}
        )
    assert (done.returncode, done.stdout) == (0, (imagebox.ROOT / "examples/plan.yaml").read_text()), done.stderr


def test_the_builder_says_how_it_is_called() -> None:
    done = subprocess.run([sys.executable, str(imagebox.BUILDER)], capture_output=True, text=True, check=False)
    assert (done.returncode, "image.py fetch INPUTS" in done.stderr) == (1, True)
