"""render --all-nodes: a directory of plans for Git, each as `render --node` writes it."""

import json
from pathlib import Path
from typing import Any

import pytest
import worlds
from worlds import raw_list, raw_node, raw_pod, raw_service, write_objects

from nplconf.cli.main import main

NAMES = ("worker-1", "worker-2", "worker-3")


def objects(*nodes: str, first: str = "web") -> list[dict[str, Any]]:
    pods = [raw_pod(f"{first}-{i}", (f"10.244.{i}.7",), on=name) for i, name in enumerate(nodes)]
    return [*(raw_node(name) for name in nodes), *pods, raw_service()]


class Repository:
    """A directory of plans, and the cluster they are rendered from."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.plans, self.dump, self._capsys = path / "plans", path / "dump.json", capsys
        self.stderr = ""

    def cluster(self, *found: dict[str, Any]) -> None:
        write_objects(self.dump, raw_list(*found))

    def render(self, *options: str, code: int = 0) -> dict[str, Any]:
        assert self.run("--all-nodes", "--out", str(self.plans), "-o", "json", *options) == code, self.stderr
        return json.loads(self.out) if self.out else {}

    def run(self, *options: str) -> int:
        self._capsys.readouterr()
        code = main(["render", "--cluster-state", str(self.dump), *options])
        self.out, self.stderr = self._capsys.readouterr()
        return code

    def files(self) -> dict[str, tuple[str, int]]:
        """Each plan's text, and when it was written."""
        return {p.stem: (p.read_text(), p.stat().st_mtime_ns) for p in sorted(self.plans.glob("*.yaml"))}


@pytest.fixture
def repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Repository:
    made = Repository(tmp_path, capsys)
    made.cluster(*objects(*NAMES))
    return made


def test_each_node_has_the_plan_that_render_node_writes(repository: Repository) -> None:
    assert repository.render()["written"] == list(NAMES)
    for name, (text, _) in repository.files().items():
        assert repository.run("--node", name) == 0
        assert repository.out == text
        assert f"name: web-{NAMES.index(name)}" in text


def test_rendering_twice_touches_no_file_whatever_the_order_of_the_dump(repository: Repository) -> None:
    repository.render()
    before = repository.files()
    repository.cluster(*reversed(objects(*NAMES)))
    assert repository.render() == {"plans": 3, "written": [], "removed": [], "skipped": [], "failures": []}
    assert repository.files() == before


def test_only_the_plans_that_change_are_written(repository: Repository) -> None:
    repository.render()
    before = repository.files()
    more = raw_pod("new", ("10.244.9.9",), on="worker-2")
    repository.cluster(*objects(*NAMES), more)
    assert repository.render()["written"] == ["worker-2"]
    after = repository.files()
    assert {name for name in NAMES if after[name] != before[name]} == {"worker-2"}
    assert repository.run("--node", "worker-2", "--previous", str(repository.plans / "worker-2.yaml")) == 0
    assert repository.out == after["worker-2"][0]


def test_an_equal_plan_in_other_bytes_is_written_again(repository: Repository) -> None:
    repository.render()
    path = repository.plans / "worker-1.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("    - nodePort", "    # by hand\n    - nodePort").replace("podPort: 8080", '"podPort": 8080')
    )
    assert repository.render()["written"] == ["worker-1"]
    assert path.read_text() == text


def test_the_plan_that_is_there_is_the_previous_one_and_keeps_its_numbers(repository: Repository) -> None:
    repository.render()
    path = repository.plans / "worker-1.yaml"
    text = path.read_text()
    (number,) = (line.split()[-1] for line in text.splitlines() if "nodePort" in line)
    path.write_text(text.replace(number, "61999"))
    assert repository.render()["written"] == []
    assert "nodePort: 61999" in path.read_text()


def test_prune_removes_plans_of_gone_nodes_and_nothing_else(repository: Repository) -> None:
    repository.render()
    others = {
        "kustomization.yaml": "resources: []\n",
        "worker-9.yaml": "kind: Deployment\nmetadata: {node: worker-9}\n",
        "renamed.yaml": (repository.plans / "worker-3.yaml").read_text(),
        "notes.txt": "x",
    }
    for name, text in others.items():
        (repository.plans / name).write_text(text)
    repository.cluster(*objects("worker-1", "worker-2"))
    assert repository.render()["removed"] == []
    assert (repository.plans / "worker-3.yaml").exists()
    assert repository.render("--prune")["removed"] == ["worker-3"]
    assert {p.name for p in repository.plans.iterdir()} == {"worker-1.yaml", "worker-2.yaml", *others}


def test_a_snapshot_without_nodes_prunes_nothing(repository: Repository) -> None:
    repository.render()
    before = repository.files()
    repository.cluster(raw_pod(), raw_service())
    (failure,) = repository.render("--prune", code=4)["failures"]
    assert failure["step"] == "prune"
    assert repository.files() == before
    assert "no Node" in repository.stderr


@pytest.mark.parametrize("name", ["../evil", "UPPER", "a/b", ".hidden", "x" * 254])
def test_a_node_whose_name_is_no_file_name_fails_and_the_others_are_written(repository: Repository, name: str) -> None:
    repository.cluster(*objects("worker-1"), raw_node(name))
    found = repository.render(code=65)
    assert found["written"] == ["worker-1"]
    assert [f["subject"] for f in found["failures"]] == [name]
    assert [p.name for p in repository.plans.parent.rglob("*.yaml")] == ["worker-1.yaml"]


@pytest.mark.parametrize(
    "windows",
    [
        {"status": {"nodeInfo": {"operatingSystem": "windows"}}},
        {"metadata": {"name": "win-1", "labels": {"kubernetes.io/os": "windows"}}},
    ],
)
def test_a_windows_node_gets_no_plan_but_a_reason(repository: Repository, windows: dict[str, Any]) -> None:
    repository.cluster(*objects("worker-1"), raw_node("win-1") | windows)
    found = repository.render("--prune")
    assert found["written"] == ["worker-1"]
    assert [(s["node"], s["reason"]) for s in found["skipped"]] == [("win-1", "windows")]
    assert [p.name for p in repository.plans.iterdir()] == ["worker-1.yaml"]
    assert "win-1: the node runs Windows" in repository.stderr
    assert repository.run("--all-nodes", "--out", str(repository.plans)) == 0
    assert repository.out.splitlines()[-1] == "Render: 1 plan, 0 written, 0 removed, 1 skipped."
    assert "win-1: the node runs Windows" in repository.stderr


def test_a_broken_previous_plan_is_left_as_it_is_and_the_others_are_written(repository: Repository) -> None:
    repository.render()
    broken = repository.plans / "worker-2.yaml"
    broken.write_text("kind: NodePlan\n")
    repository.cluster(*objects(*NAMES, first="new"))
    found = repository.render(code=65)
    assert found["written"] == ["worker-1", "worker-3"]
    assert broken.read_text() == "kind: NodePlan\n"
    assert "worker-2.yaml" in repository.stderr


def test_a_policy_bounds_every_node(repository: Repository, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    head = "apiVersion: nplconf.io/v1alpha1\nkind: Policy\n"
    policy.write_text(head + "spec:\n  namespaces: {deny: [shop]}\n")
    repository.render("--policy", str(policy))
    assert all("mappings: []" in text and "deny[0]" in text for text, _ in repository.files().values())


@pytest.mark.parametrize(
    "options",
    [["--all-nodes"], ["--prune"], ["--all-nodes", "--out", "x", "--previous", "y"], ["--prune", "--out", "x"]],
)
def test_options_that_make_no_sense_together_are_refused(repository: Repository, options: list[str]) -> None:
    assert repository.run(*options) == 64


def test_the_table_names_what_was_written_and_sums_up(repository: Repository) -> None:
    assert repository.run("--all-nodes", "--out", str(repository.plans)) == 0
    assert repository.out.splitlines()[-1] == "Render: 3 plans, 3 written, 0 removed."
    assert worlds.NODE in repository.out
