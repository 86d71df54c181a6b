"""The messages of `apply`, and their streams."""

from pathlib import Path

import pytest
import worlds
from netns import world

pytestmark = pytest.mark.kernel


def test_a_quiet_run_says_what_changed_and_nothing_when_nothing_did(tmp_path: Path) -> None:
    with world(tmp_path, "nft") as node:
        node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
        first, second, loud = (node.nplconf("apply", *words) for words in (["--quiet"], ["--quiet"], []))
    assert first.stdout == ""
    assert "add tcp/" in first.stderr
    assert "shop/web:8080" in first.stderr
    assert len(first.stderr.splitlines()) == 1
    assert (second.stdout, second.stderr) == ("", "")
    assert "--no-hold: nothing keeps other programs" in loud.stderr
