"""A credential plugin that needs HOME works in a shell and fails in the unit. doctor runs it without HOME."""

import os
from pathlib import Path
from typing import Any

import pytest

from nplconf.doctor.checks import api_rights
from nplconf.doctor.facts import Facts, FactSources
from nplconf.doctor.facts.cluster import UNREAD, Answers, answers
from nplconf.errors import BadConfigError
from nplconf.install import systemd
from nplconf.model import Right
from nplconf.settings import Settings


class Plugin:
    """A cluster whose credentials come from a plugin that needs HOME."""

    def rights(self, _node: str, *, events: bool) -> tuple[Right, ...]:
        if "HOME" not in os.environ:
            raise BadConfigError(f"plugin: HOME is not set (events: {events})")
        return ()


def found(path: Path, text: str, environment: str, monkeypatch: pytest.MonkeyPatch) -> str:
    path.write_text(text)
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setattr(systemd, "runs", lambda: True)
    monkeypatch.setattr(systemd, "properties", lambda *_: {"LoadState": "loaded", "Environment": environment})
    cluster: Any = Plugin
    sources = FactSources(cluster=cluster, node=cluster, units=dict)
    facts = Facts(Settings("worker-1", kubeconfig=str(path)), sources, {answers: Answers(UNREAD, ())})
    why = api_rights.needs_home(facts)
    assert os.environ["HOME"] == "/root"
    return why


@pytest.mark.parametrize(
    "text", ["users:\n- user:\n    exec:\n      command: x\n", '{"user": {"exec": {"command": 1}}}']
)
def test_a_plugin_that_needs_home_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert "HOME is not set" in found(tmp_path / "k", text, "", monkeypatch)
    assert found(tmp_path / "k", text, "HOME=/root", monkeypatch) == ""


def test_without_a_plugin_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path / "k", "users:\n- user: {token: exec}\n", "", monkeypatch) == ""
