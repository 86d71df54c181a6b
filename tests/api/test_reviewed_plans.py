"""Plans reviewed in Git, from the first review to a rollback: a real API server, kernel and repository."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import netns
import pytest
import worlds
import yaml
from apisite import Site
from area import Area, install, wait_for_right
from echo import Answer
from netns import Applied

pytestmark = [pytest.mark.api, pytest.mark.kernel]
GITOPS = netns.ROOT / "examples" / "gitops"
RENDERER = "/api/v1/namespaces/kube-system/serviceaccounts/nplconf-plans"
NODE_IP = "10.10.10.10"


class Repository:
    """The node's plan under version control, and the node that reads it there."""

    def __init__(self, node: Site) -> None:
        self.node, self.path = node, node.directory / "plans"
        self.plan = self.path / f"{node.area.node}.yaml"
        self.path.mkdir()
        self._config = node.directory / "config.yaml"
        self._config.write_text(f"mode: reviewed\nplanDir: {self.path}\n")
        self.git("init", "-qb", "main")

    def git(self, *argv: str) -> str:
        who = {f"GIT_{role}_{what}": "t@example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *argv], cwd=self.path, env=dict(os.environ) | who, capture_output=True, text=True, check=True
        )
        return done.stdout

    def render(self) -> str:
        """What the job does; what Git shows then."""
        assert self.node.nplconf("render", "--out", str(self.plan)).returncode == 0
        return self.git("status", "--porcelain")

    def review(self) -> dict[str, Any]:
        """What a reviewer is shown, before it is merged."""
        before = self.path / ".before.yaml"
        before.write_text(self.git("show", f"HEAD:{self.plan.name}"))
        found = self.node.json("diff", str(before), str(self.plan))
        before.unlink()
        assert found.code == 0
        return found.data

    def merge(self) -> str:
        """The commit's name."""
        self.git("add", "-A")
        self.git("commit", "-qm", "Plans")
        return self.git("rev-parse", "HEAD").strip()

    def apply(self, *arguments: str) -> Applied:
        """What the timer does."""
        return self.node.apply("--config", str(self._config), *arguments)

    def output(self, command: str, *arguments: str) -> str:
        return self.node.nplconf(command, *arguments, "--config", str(self._config)).stdout

    def go_back(self, commit: str) -> "subprocess.CompletedProcess[str]":
        """An older plan on stdin, as an operator in a hurry does it."""
        argv = (sys.executable, "-m", "nplconf", "apply", "-", *self.node._options())
        return self.node.run(*argv, text=self.git("show", f"{commit}:{self.plan.name}"))


def pod(node: Site, name: str, ip: str, place: str = "", ports: tuple[int, ...] = (8080,)) -> None:
    """A Pod that runs and answers; place: where, when its name was had before."""
    raw = node.routed(place or name, ip, tcp=ports)
    raw["metadata"] |= {"name": name, "labels": {"app": "web"}}
    node.create(raw)


def gone(node: Site, name: str, place: str = "") -> None:
    """The Pod and its network."""
    node.area.delete(name)
    netns.batch(f"-n {node.node}", f"link delete {place or name}")


def numbers(node: Site) -> dict[str, int]:
    """Who has which number, as the node has it."""
    rows = node.json("show").data["mappings"]
    return {row["pod"]["name"]: row["nodePort"] for row in rows}


def asked(node: Site, number: int) -> str:
    """Where a client comes out."""
    found = node.ask("client", NODE_IP, number)
    return found.pod if isinstance(found, Answer) else found


@pytest.mark.watch_too
def test_the_whole_story_of_reviewed_plans(node: Site) -> None:
    node.start_hold()
    repository = Repository(node)
    pod(node, "web-0", "10.244.3.10")
    pod(node, "web-1", "10.244.3.11")
    node.area.create_service(worlds.raw_service())

    # nothing is reviewed yet, so nothing is done
    assert repository.apply().code == 65
    assert node.ours() == []

    repository.render()
    first = repository.merge()
    assert repository.render() == "", "the same cluster is nothing to commit"
    applied = repository.apply("--exact")
    assert (applied.code, applied.counts) == (0, (0, 2, 0))
    reviewed = numbers(node)
    assert [asked(node, reviewed[name]) for name in ("web-0", "web-1")] == ["web-0", "web-1"]

    _comes_back(repository, reviewed["web-0"])
    _goes_and_leaves_its_address(repository, reviewed)

    # the second review
    assert repository.render() == f" M {repository.plan.name}\n"
    seen = repository.review()
    assert {(c["action"], c["mapping"]["pod"]["name"]) for c in seen["changes"]} == {
        ("delete", "web-1"), ("change", "web-0"), ("add", "web-2"),
    }  # fmt: skip
    second = repository.merge()
    assert (repository.apply().code, asked(node, numbers(node)["web-2"])) == (0, "web-2")
    assert node.area.annotation("web-2") is not None

    # a third one was a mistake: an older plan is the way back, and nobody who stays notices
    node.area.create_service(worlds.raw_service("more", ((81, 9090, "TCP"),)))
    repository.render()
    repository.merge()
    assert repository.apply().counts == (2, 2, 0)
    back = repository.go_back(second)
    assert back.returncode == 0, back.stderr
    assert "(not-reviewed)" in back.stdout
    assert numbers(node).keys() == {"web-0", "web-2"}
    assert asked(node, numbers(node)["web-2"]) == "web-2"

    # further back than Pods live: what is gone stays away
    back = repository.go_back(first)
    assert back.returncode == 3
    assert numbers(node) == {"web-0": reviewed["web-0"]}
    assert asked(node, reviewed["web-1"]) == "refused"


def _comes_back(repository: Repository, number: int) -> None:
    """A StatefulSet's Pod, at another address."""
    node = repository.node
    gone(node, "web-0")
    pod(node, "web-0", "10.244.3.20", "back")
    assert repository.apply("--exact").data["stale"][0]["reason"] == "uid-changed"
    applied = repository.apply()
    assert (applied.code, applied.counts) == (0, (1, 1, 0))
    assert asked(node, number) == "back"
    assert f'"nodePort":{number}' in str(node.area.annotation("web-0"))


def _goes_and_leaves_its_address(repository: Repository, reviewed: dict[str, int]) -> None:
    """To a new Pod, which nobody has reviewed."""
    node = repository.node
    gone(node, "web-1")
    pod(node, "web-2", "10.244.3.11")
    applied = repository.apply()
    assert applied.code == 3
    assert [(s["reason"], s["mapping"]["pod"]["name"]) for s in applied.data["stale"]] == [("pod-gone", "web-1")]
    assert [(p["reason"], p["pod"]["name"]) for p in applied.data["pending"]] == [("not-reviewed", "web-2")]
    assert numbers(node) == {"web-0": reviewed["web-0"]}
    assert asked(node, reviewed["web-1"]) == "refused"
    assert node.area.annotation("web-2") is None
    assert "pending until the next review" in repository.output("explain", f"{node.area.namespace}/web-2")
    assert "is stale" in repository.output("explain", f"tcp/{reviewed['web-1']}")
    assert repository.apply().counts == (1, 0, 0), "the next run has nothing to do"


@pytest.mark.watch_too
@pytest.mark.parametrize("broken", [None, "", "kind: NodePlan\n", "spec: ["])
def test_a_plan_that_cannot_be_read_leaves_the_last_one_in_force_and_heals_it(node: Site, broken: str | None) -> None:
    node.start_hold()
    repository = Repository(node)
    pod(node, "web-0", "10.244.3.10")
    node.area.create_service(worlds.raw_service())
    repository.render()
    assert repository.apply().code == 0
    before, published = node.ours(), node.area.annotation("web-0")
    node.run("iptables-nft", "-t", "nat", "-F")

    _spoil(repository.plan, broken)
    applied = repository.apply()

    assert applied.code == (5 if node.driver else 65), "watch mode goes on with the last good plan"
    assert repository.plan.name in applied.stderr
    assert (node.ours(), node.area.annotation("web-0")) == (before, published)


def _spoil(plan: Path, text: str | None) -> None:
    if text is None:
        plan.unlink()
    else:
        plan.write_text(text)


def test_the_jobs_identity_may_render_all_nodes_each_as_by_itself(node: Site) -> None:
    plane = node.area.plane
    install(plane, str(GITOPS / "ci" / "reader.yaml"))
    wait_for_right(plane, "system:serviceaccount:kube-system:nplconf-plans", "list", "nodes")
    node.use(token=plane.ok("POST", f"{RENDERER}/token", {"spec": {}})["status"]["token"])
    node.area.pod("web-0")
    node.area.service()
    plans = node.directory / "all"
    assert node.nplconf("render", "--all-nodes", "--out", str(plans)).returncode == 0
    text = (plans / f"{node.area.node}.yaml").read_text()
    assert text == node.nplconf("render").stdout
    assert "name: web-0" in text
    assert node.nplconf("render", "--all-nodes", "--prune", "--out", str(plans)).stdout.endswith("0 removed.\n")


def test_what_brings_the_plans_to_the_nodes_is_taken_as_it_is_by_an_api_server(area: Area) -> None:
    manifest = yaml.safe_load((GITOPS / "delivery" / "git-sync" / "daemonset.yaml").read_text())
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets?dryRun=All&fieldValidation=Strict"
    assert area.plane.ok("POST", path, manifest)["kind"] == "DaemonSet"
