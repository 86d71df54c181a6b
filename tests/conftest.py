"""What every test stands on: a clean environment, and no test that quietly does not run.

A test marked `kernel`, `api` or `systemd` needs root and programs of the system. Where they are missing it fails and
says what to install: a skipped test would let a broken build through. Without root, the others run with
`pytest -m "not kernel and not api and not systemd and not browser"`.
"""

import os
import shutil

import hypothesis
import pytest

NEEDS = {
    "kernel": {"iptables": "iptables", "ip": "iproute2", "nft": "nftables", "conntrack": "conntrack"},
    "systemd": {
        "/lib/systemd/systemd": "systemd",
        "firewalld": "firewalld",
        "unshare": "util-linux",
        "setpriv": "util-linux",
    },
    "api": {"ip": "iproute2", "openssl": "openssl"},
    "browser": {"chromium": "chromium"},
}
"""Marker -> program -> the Debian package that brings it."""
AS_ROOT = ("kernel", "systemd", "api")

# A slow machine is no broken program, and what one run found the next must find too.
hypothesis.settings.register_profile("here", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("here")

# What a developer's or CI's machine has set must not decide a test.
for name in [n for n in os.environ if n.startswith(("NPLCONF_", "KUBE")) and n != "KUBEBUILDER_ASSETS"]:
    del os.environ[name]
for name in ("NODE_NAME", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
    os.environ.pop(name, None)
os.environ["PATH"] += ":/usr/sbin:/sbin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of our own."""
    parser.addoption(
        "--update-golden", action="store_true", help="write what golden worlds come to; then read the diff"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share a fixture in one worker: those of the API server together, of each other file together."""
    for item in items:
        file = item.path.relative_to(item.config.rootpath)
        item.add_marker(pytest.mark.xdist_group("api" if item.get_closest_marker("api") else str(file)))


def lacking(markers: set[str]) -> list[str]:
    """What this machine lacks for a test with these markers, each as an instruction."""
    programs = {program: package for m in NEEDS if m in markers for program, package in NEEDS[m].items()}
    instructions = [f"apt-get install {package}  # {p}" for p, package in programs.items() if not shutil.which(p)]
    if os.geteuid() != 0 and markers.intersection(AS_ROOT):
        instructions.insert(0, "run the tests as root: make test")
    return instructions


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail before a test that cannot run, instead of leaving it out."""
    if missing := lacking({marker.name for marker in item.iter_markers()}):
        pytest.fail("cannot run here:\n" + "\n".join(missing), pytrace=False)
