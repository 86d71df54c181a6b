"""Modules that a run every few seconds must not import."""

import sys

import pytest
import worlds
from netns import World

pytestmark = pytest.mark.kernel
HEAVY = (
    *("yaml", "jsonschema", "netaddr", "rich", "kubernetes", "jinja2", "ijson", "prometheus_client", "netlink"),
    *("shutil", "tempfile", "lzma", "logging", "ssl", "hashlib", "http", "asyncio", "importlib.metadata"),
    *(
        "nplconf.doctor",
        "nplconf.explain",
        "nplconf.hold.daemon",
        "nplconf.files.schema",
        "nplconf.plan.policy",
        "nplconf.cli.commands.demo",
    ),
)


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_run_without_a_change_imports_nothing_heavy_and_nothing_of_other_commands(node: World) -> None:
    node.write(node.routed("web-0", "10.244.3.1"), worlds.raw_service())
    assert node.apply().code == 0
    argv = ["nplconf", "apply", *node._options()]
    code = f"import sys; sys.argv = {argv!r}\nfrom nplconf.cli.main import main\nassert main() == 0\n"

    done = node.run(sys.executable, "-c", code + "print(*sys.modules)", shimmed=True)

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "nplconf.run.reconcile" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []
