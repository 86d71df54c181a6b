"""Completion: the scripts offer every command, option and value; nodes and ports come from files and the kernel."""

import json
import subprocess
from pathlib import Path

import pytest
import worlds

from nplconf.cli import shells
from nplconf.cli.commands import completion
from nplconf.cli.main import COMMANDS, main
from nplconf.cli.options import OPTIONS

ROOT = Path(__file__).parents[2]
PLAN, DUMP = ROOT / "examples" / "plan.yaml", ROOT / "examples" / "cluster-6281.yaml"


def bash(*words: str, answers: str = "") -> list[str]:
    """What bash offers for the last word. answers: what the stand-in for nplconf prints."""
    code = f"""{shells.script("bash")}
nplconf() {{ printf '%s\\n' "$*" >&2; printf '%s\\n' {answers}; }}
compopt() {{ :; }}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nplconf; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code, "bash", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_offers_every_command() -> None:
    assert bash("nplconf", "") == [*bash("nplconf", "[a-z]"), *bash("nplconf", "")]
    assert set(bash("nplconf", "")) == {*COMMANDS, "--help", "--version"}
    assert bash("nplconf", "un") == ["uninstall-units"]


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_offers_the_options_that_a_command_uses(command: str) -> None:
    offered = set(bash("nplconf", command, "--"))
    assert {o.flag for o in OPTIONS if command in o.commands} <= offered
    assert not {o.flag for o in OPTIONS if command not in o.commands} & offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("apply", "--backend", "ipt"), ["iptables-nft", "iptables-legacy"]),
        (("show", "-o", "j"), ["json"]),
        (("schema", "po"), ["policy"]),
        (("help", "app"), ["apply"]),
        (("apply", "--cool-down", ""), []),
        (("completion", "z"), ["zsh"]),
        (("example", "rb"), ["rbac"]),
    ],
)
def test_bash_offers_values(words: tuple[str, ...], offered: list[str]) -> None:
    assert bash("nplconf", *words) == offered


def test_bash_asks_for_nodes_and_ports() -> None:
    assert bash("nplconf", "explain", "tcp/610", answers="tcp/61001 udp/61001") == ["tcp/61001"]
    assert bash("nplconf", "render", "--node", "w", answers="worker-1 x") == ["worker-1"]


def test_bash_offers_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "sum.yaml").touch()
    assert bash("nplconf", "validate", f"{tmp_path}/s") == [f"{tmp_path}/some", f"{tmp_path}/sum.yaml"]
    assert bash("nplconf", "apply", "--plan-dir", f"{tmp_path}/s") == [f"{tmp_path}/some"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_script_has_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in script] == []
    long = {option.flag for option in OPTIONS}
    spelled = {flag.replace("--", "-l ", 1) for flag in long} if shell == "fish" else long
    assert [flag for flag in spelled if flag not in script] == []


def offered(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["completion", *words]) == 0
    return capsys.readouterr().out.split()


def test_nodes_are_those_of_plans_directories_and_cluster_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "worker-7.yaml").write_text(PLAN.read_text())
    edited = tmp_path / "edited"
    edited.write_text(PLAN.read_text() + "# by hand\n")
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps(worlds.raw_list(worlds.raw_node(name="worker-3"))))
    assert offered(capsys, "nodes", "--", "--plan-dir", str(tmp_path), "--node", "") == ["worker-7"]
    assert offered(capsys, "nodes", "--", str(edited)) == ["worker-1"]
    assert offered(capsys, "nodes", "--", "--cluster-state", str(dump)) == ["worker-3"]


@pytest.mark.parametrize("text", ["", "{", "kind: NodePlan\n", "\0"])
def test_a_file_that_cannot_be_read_offers_nothing_and_hides_no_other(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(text)
    assert offered(capsys, "nodes", "--", str(wrong), str(DUMP)) == ["worker-1"]
    assert capsys.readouterr().err == ""
