"""`render --all-nodes`: a directory that Git sees no change in, and that loses no plan by accident."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import worlds

from nplconf.cli.main import main


def dump(directory: Path, *names: str, pods: int = 3) -> str:
    objects: list[dict[str, Any]] = [worlds.raw_node(name) for name in names]
    objects += [
        worlds.raw_pod(f"web-{name[:20].lower()}-{i}", (f"10.244.{at}.{i + 1}",), on=name)
        for at, name in enumerate(names)
        for i in range(pods)
    ]
    path = directory / "cluster.json"
    path.write_text(json.dumps(worlds.raw_list(worlds.raw_service(), *objects)))
    return str(path)


def render(cluster: str, out: Path, *words: str) -> int:
    return main(["render", "--all-nodes", "--cluster-state", cluster, "--out", str(out), *words])


def test_every_node_has_the_bytes_of_its_own_rendering(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster, out = dump(tmp_path, "one", "two", "three"), tmp_path / "plans"
    assert render(cluster, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["one.yaml", "three.yaml", "two.yaml"]
    capsys.readouterr()
    for name in ("one", "two", "three"):
        assert main(["render", "--node", name, "--cluster-state", cluster]) == 0
        assert capsys.readouterr().out == (out / f"{name}.yaml").read_text()


def test_a_second_rendering_touches_no_file(tmp_path: Path) -> None:
    cluster, out = dump(tmp_path, *(f"node-{i}" for i in range(60))), tmp_path / "plans"
    assert render(cluster, out) == 0
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()}
    assert len(before) == 60
    assert render(cluster, out, "--prune") == 0
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()} == before


def test_the_plan_that_is_there_keeps_its_numbers(tmp_path: Path) -> None:
    out = tmp_path / "plans"
    render(dump(tmp_path, "one"), out)
    path = out / "one.yaml"
    number = next(line.split()[-1] for line in path.read_text().splitlines() if "nodePort" in line)
    path.write_text(path.read_text().replace(f"nodePort: {number}", "nodePort: 61000"))
    kept = path.read_text()
    assert render(dump(tmp_path, "one"), out) == 0
    assert path.read_text() == kept


def test_prune_removes_the_plans_of_gone_nodes_alone(tmp_path: Path) -> None:
    out = tmp_path / "plans"
    render(dump(tmp_path, "one", "two"), out)
    others = {
        "policy.yaml": "kind: NodePortPolicy\n",
        "copy.yaml": (out / "one.yaml").read_text(),
        "README.md": "plans",
    }
    for name, text in others.items():
        (out / name).write_text(text)
    assert render(dump(tmp_path, "one"), out) == 0
    assert (out / "two.yaml").exists()
    assert render(dump(tmp_path, "one"), out, "--prune") == 0
    assert sorted(os.listdir(out)) == sorted(["one.yaml", *others])  # noqa: PTH208


def test_a_snapshot_without_nodes_removes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "plans"
    render(dump(tmp_path, "one"), out)
    assert render(dump(tmp_path), out, "--prune") == 4
    assert render(dump(tmp_path), out) == 65
    assert (out / "one.yaml").exists()


@pytest.mark.parametrize("bad", ["../evil", "Upper", "a b", "x" * 254])
def test_a_name_that_is_none_is_an_error_and_the_others_are_written(tmp_path: Path, bad: str) -> None:
    out = tmp_path / "plans"
    assert render(dump(tmp_path, bad, "one"), out) == 65
    assert [path.name for path in out.iterdir()] == ["one.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.json", "plans"]


def test_a_broken_previous_plan_is_left_alone_and_the_others_are_written(tmp_path: Path) -> None:
    out = tmp_path / "plans"
    out.mkdir()
    (out / "one.yaml").write_text("spec: [")
    assert render(dump(tmp_path, "one", "two"), out) == 65
    assert (out / "one.yaml").read_text() == "spec: ["
    assert (out / "two.yaml").exists()


@pytest.mark.parametrize("words", [["--all-nodes"], ["--prune"], ["--all-nodes", "--out", "x", "--previous", "y"]])
def test_what_makes_no_sense_together_is_refused(words: list[str]) -> None:
    assert main(["render", *words]) == 64
