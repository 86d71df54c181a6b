"""The basis of every test: a clean environment, and failure instead of skipping.

A test marked `kernel`, `api`, `systemd` or `cluster` needs root and programs of the system. If they are missing it
fails and says what to install: a skipped test could hide a broken build. Without root, the others run with `pytest -m
"not kernel and not api and not systemd and not cluster and not browser"`.
"""

import compileall
import contextlib
import functools
import gc
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import kube_binaries
import pytest
import watching

NEEDS = {
    "kernel": {"iptables": "iptables", "ip": "iproute2", "nft": "nftables", "conntrack": "conntrack"},
    "systemd": {
        "/lib/systemd/systemd": "systemd",
        "firewalld": "firewalld",
        "unshare": "util-linux",
        "setpriv": "util-linux",
        "dpkg-deb": "dpkg",
        "rpmbuild": "rpm",
        "man": "man-db",
        "zsh": "zsh",
        "fish": "fish",
    },
    "api": {"ip": "iproute2", "openssl": "openssl"},
    "cluster": {
        "/lib/systemd/systemd": "systemd",
        "containerd": "containerd",
        "runc": "runc",
        "/usr/lib/cni/bridge": "containernetworking-plugins",
        "busybox": "busybox-static",
        "conntrack": "conntrack",
        "iptables": "iptables",
        "nft": "nftables",
        "openssl": "openssl",
        "unshare": "util-linux",
    },
    "loadbalancers": {"haproxy": "haproxy", "nginx": "nginx"},
    "browser": {"chromium": "chromium"},
}
"""Marker -> program -> the Debian package that brings it."""
AS_ROOT = ("kernel", "systemd", "api", "cluster")
KUBERNETES = ("api", "cluster")
"""Markers of tests that need the Kubernetes programs."""
ONE_WORKER = ("cluster", "antrea")
"""Markers of tests that run one after the other, whatever their file."""
CONTROL_PLANE = "tests/api"
"""The directory whose tests share one control plane, and therefore one worker."""
LONGEST = ("cluster", "api", "systemd", "antrea", "kernel")
"""Markers of groups of tests, those first that take longest."""

ROOT = Path(__file__).parent.parent
LONG = 200
"""Characters of a parameter that are too many for a test's name."""

# A slow machine is no fault, and every run must find the same faults.
hypothesis.settings.register_profile("here", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.register_profile("fast", deadline=None, max_examples=20)
hypothesis.settings.load_profile("here")

# Settings of a developer's or CI machine must not influence a test.
for name in [n for n in os.environ if n.startswith(("NPLCONF_", "KUBE")) and n != "KUBEBUILDER_ASSETS"]:
    del os.environ[name]
for name in ("NODE_NAME", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
    os.environ.pop(name, None)
# Otherwise each process of the tests would compile nplconf again, which takes longer than most commands.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["PATH"] += ":/usr/sbin:/sbin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of these tests."""
    parser.addoption(
        "--update-golden", action="store_true", help="write what golden worlds come to; then read the diff"
    )


@pytest.fixture(scope="module")
def driven(request: pytest.FixtureRequest) -> watching.Driven:
    """What carries out the runs of a node while a body is executed, see `watching.DRIVEN`."""
    return watching.DRIVEN[getattr(request, "param", "one_shot")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked `watch_too` also with runs of watch mode."""
    if metafunc.definition.get_closest_marker("watch_too"):
        metafunc.parametrize("driven", tuple(watching.DRIVEN), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep tests that share a fixture in one worker. Begin with long groups, so that all workers end together."""
    items[:] = [item for item in items if not (_by_watch(item) and item.get_closest_marker("not_by_watch"))]
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    for name, group in groups.items():
        for item in group:
            item.add_marker(pytest.mark.xdist_group(name))
    workerinput: dict[str, bool] = getattr(config, "workerinput", {})
    building = workerinput.get("building", kube_binaries.missing())
    turn = functools.partial(_turn, building=building)
    items[:] = itertools.chain.from_iterable(sorted(groups.values(), key=turn))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Have all workers sort alike, even if the build ends meanwhile. node: a worker, as its controller has it."""
    node.workerinput["building"] = kube_binaries.missing()


def _by_watch(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("driven") == "watch"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test with a long parameter by its length. Workers report each name several times, and some have 100 MB."""
    return f"{argname}-{len(val)}" if isinstance(val, str | bytes) and len(val) > LONG else None


def pytest_configure(config: pytest.Config) -> None:
    """Compile nplconf once: processes in a booted machine read the result but cannot save theirs.

    A shell starts `make test &` with SIGINT ignored, and all programs of the tests would inherit that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "nplconf", quiet=1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the Kubernetes programs while tests run that do not need them; the collected tests stay until the end."""
    gc.collect()
    gc.freeze()  # otherwise each full garbage collection visits them
    if not session.config.option.collectonly and any(map(_builds, session.items)):
        session.config.add_cleanup(kube_binaries.start_build())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait for the build before the clock of a test's timeout starts."""
    if _builds(item) and not lacking({marker.name for marker in item.iter_markers()}):
        _wait_for_build()
    return (yield)


@functools.cache
def _wait_for_build() -> None:
    with contextlib.suppress(RuntimeError):  # raised again by the fixture that needs the programs
        kube_binaries.programs()


def _group(item: pytest.Item) -> str:
    """Return the name of the group of tests that one worker runs."""
    file = item.path.relative_to(item.config.rootpath).as_posix()
    return _marked(item, ONE_WORKER) or (CONTROL_PLANE if file.startswith(f"{CONTROL_PLANE}/") else file)


def _turn(group: list[pytest.Item], *, building: bool) -> tuple[bool, int]:
    """Return the key by which groups are sorted: long ones, short ones, those that wait for a build."""
    waits = building and any(map(_builds, group))
    ranks = (LONGEST.index(marker) for item in group if (marker := _marked(item, LONGEST)))
    return waits, min(ranks, default=len(LONGEST))


def _marked(item: pytest.Item, names: Iterable[str]) -> str | None:
    return next((name for name in names if item.get_closest_marker(name)), None)


def _builds(item: pytest.Item) -> bool:
    marker = _marked(item, KUBERNETES)
    return marker == "cluster" or (marker == "api" and "KUBEBUILDER_ASSETS" not in os.environ)


def lacking(markers: set[str]) -> list[str]:
    """Return what this machine lacks for a test with these markers, each as an instruction."""
    programs = {program: package for m in NEEDS if m in markers for program, package in NEEDS[m].items()}
    instructions = [f"apt-get install {package}  # {p}" for p, package in programs.items() if not shutil.which(p)]
    if os.geteuid() != 0 and markers.intersection(AS_ROOT):
        instructions.insert(0, "run the tests as root: make test")
    return instructions


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail before a test that cannot run, instead of skipping it."""
    if missing := lacking({marker.name for marker in item.iter_markers()}):
        pytest.fail("cannot run here:\n" + "\n".join(missing), pytrace=False)
