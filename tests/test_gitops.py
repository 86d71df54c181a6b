"""examples/gitops: the commands of the CI job, on a repository that people work in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from worlds import raw_list, raw_node, raw_pod, raw_service, write_objects

GITOPS = Path(__file__).parents[1] / "examples" / "gitops"


class Repository:
    """A clone of the example, with no plans yet, and a cluster."""

    def __init__(self, directory: Path) -> None:
        self.path, self.dump = directory / "plans-repo", directory / "dump.json"
        shutil.copytree(GITOPS, self.path)
        shutil.rmtree(self.path / "plans")
        program = directory / "bin" / "nplconf"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nplconf "$@"\n')
        program.chmod(0o755)
        who = {f"GIT_{role}_{what}": "t@example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        paths = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(GITOPS.parents[1])}
        self._environment = dict(os.environ) | who | paths
        self.run("git", "init", "-qb", "main")

    def run(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(argv, cwd=self.path, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    def dump_cluster(self, *nodes: str, pods: int = 1) -> None:
        made = [raw_pod(f"{n}-{i}", (f"10.244.{n[-1]}.{i + 1}",), on=n) for n in nodes for i in range(pods)]
        write_objects(self.dump, raw_list(*(raw_node(n) for n in nodes), *made, raw_service()))

    def render(self, *nodes: str, pods: int = 1) -> str:
        """The job's first step, and what Git shows then."""
        self.dump_cluster(*nodes, pods=pods)
        self.run("ci/render", "--cluster-state", str(self.dump))
        return self.run("git", "status", "--porcelain", "-uall", "plans")

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "Plans")

    def review(self, base: str = "HEAD", code: int = 0) -> dict[str, str]:
        """The job's second step: the page of each node."""
        self.run("ci/review", base, "review", code=code)
        return {page.stem: page.read_text() for page in sorted((self.path / "review").glob("*.md"))}


class Forge:
    """Where the repository is pushed to, and `gh` as far as the jobs use it."""

    def __init__(self, repository: Repository) -> None:
        self._repository, self._home = repository, repository.path.parent
        origin = str(self._home / "origin.git")
        repository.run("git", "init", "-q", "--bare", origin)
        repository.run("git", "remote", "add", "origin", origin)
        repository.run("git", "push", "-q", "origin", "main")
        gh = self._home / "bin" / "gh"
        gh.write_text(GH.format(home=self._home))
        gh.chmod(0o755)

    def job(self, name: str) -> None:
        """Every command of a job, in order, from a fresh clone's branch."""
        workflow = yaml.safe_load((GITOPS / "ci" / "github-workflow.yaml").read_text())
        self._repository.run("git", "switch", "-q", "main")
        values = {"github.event.repository.default_branch": "main", "github.base_ref": "main"}
        for step in workflow["jobs"][name]["steps"]:
            variables = {"RUNNER_TEMP": str(self._home), "NPLCONF_CLUSTER_STATE": str(self._repository.dump)}
            for key, text in step.get("env", {}).items():
                variables[key] = re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values.get(found[1], "7"), text)
            if "pipx" not in step.get("run", "pipx"):
                argv = [f"{key}={value}" for key, value in variables.items()]
                self._repository.run("env", *argv, "bash", "-e", "-c", step["run"])

    def comments(self) -> list[str]:
        """The comments so far, the first line of each."""
        log = self._home / "comments"
        return [line for line in log.read_text().splitlines() if line.startswith("# ")] if log.exists() else []


GH = """#!/bin/sh
case "$1 $2" in
    "pr view") cat {home}/open 2>/dev/null ;;
    "pr create") echo OPEN >{home}/open ;;
    "pr comment") cat "$5" >>{home}/comments ;;
esac
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.render("worker-1", "worker-2")
    made.commit()
    return made


def test_rendering_the_same_cluster_twice_is_nothing_to_commit(repository: Repository) -> None:
    assert repository.render("worker-1", "worker-2") == ""
    assert repository.review() == {}


def test_each_node_that_changes_has_a_page_that_sums_up(repository: Repository) -> None:
    assert repository.render("worker-1", "worker-2", pods=2).split() == [
        "M", "plans/worker-1.yaml", "M", "plans/worker-2.yaml",
    ]  # fmt: skip
    pages = repository.review()
    assert set(pages) == {"worker-1", "worker-2"}
    assert pages["worker-1"].startswith("# nplconf: <code>worker-1</code>")
    assert "1 to add" in pages["worker-1"]
    assert "worker-1-1" in pages["worker-1"]


def test_a_node_that_is_new_or_gone_is_all_adds_or_all_deletes(repository: Repository) -> None:
    repository.render("worker-2", "worker-3")
    repository.run("git", "add", "-A")
    pages = repository.review()
    assert set(pages) == {"worker-1", "worker-3"}
    assert "1 to delete, 0 to change, 0 to add" in pages["worker-1"]
    assert "0 to delete, 0 to change, 1 to add" in pages["worker-3"]


def test_a_review_compares_with_the_commit_it_is_given(repository: Repository) -> None:
    repository.render("worker-1", "worker-2", pods=2)
    repository.commit()
    assert repository.review("HEAD") == {}
    assert set(repository.review("HEAD~1")) == {"worker-1", "worker-2"}


def test_review_pages_of_a_pull_request_itself_are_not_used(repository: Repository, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a token")
    repository.render("worker-1", "worker-2", pods=2)
    out = repository.path / "review"
    out.mkdir()
    (out / "approved.md").write_text("# nplconf: nothing changes")
    (out / "leak.md").symlink_to(secret)
    (out / "worker-1.md").symlink_to(secret)
    repository.run("git", "add", "-A")
    assert set(repository.review()) == {"worker-1", "worker-2"}
    assert not (out / "worker-1.md").is_symlink()
    shutil.rmtree(out)
    out.symlink_to(tmp_path)
    assert set(repository.review()) == {"worker-1", "worker-2"}
    assert not out.is_symlink()
    assert secret.read_text() == "a token"


def test_a_plan_with_a_problem_stops_the_job_before_any_page(repository: Repository) -> None:
    plan = repository.path / "plans" / "worker-1.yaml"
    plan.write_text(plan.read_text().replace("podPort: 8080", "podPort: 080"))
    assert repository.review(code=65) == {}


def test_the_policy_holds_in_the_job(repository: Repository) -> None:
    policy = repository.path / "policy.yaml"
    policy.write_text(policy.read_text().replace("deny: [kube-system]", "deny: [shop]"))
    repository.render("worker-1", "worker-2")
    assert "1 to delete" in repository.review()["worker-1"]


def test_the_example_plan_is_what_the_job_renders() -> None:
    argv = ["--all-nodes", "--out", str(GITOPS / "plans"), "--policy", str(GITOPS / "policy.yaml")]
    dump = GITOPS.parent / "cluster-6281.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "nplconf", "render", *argv, "--cluster-state", str(dump)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Render: 1 plan, 0 written, 0 removed.\n"


def test_the_hourly_job_opens_one_pull_request_says_what_it_changes_and_says_it_once(repository: Repository) -> None:
    forge = Forge(repository)
    forge.job("render")
    assert forge.comments() == [], "nothing has changed"
    repository.dump_cluster("worker-1", "worker-2", pods=2)
    forge.job("render")
    assert forge.comments() == ["# nplconf: <code>worker-1</code>", "# nplconf: <code>worker-2</code>"]
    assert "worker-1-1" in repository.run("git", "show", "origin/plans/rendered:plans/worker-1.yaml")
    forge.job("render")
    assert len(forge.comments()) == 2
    repository.dump_cluster("worker-1", "worker-2", pods=3)
    forge.job("render")
    assert len(forge.comments()) == 4


def test_the_job_of_a_pull_request_says_what_people_changed_in_it(repository: Repository) -> None:
    forge = Forge(repository)
    repository.render("worker-1", "worker-2", pods=2)
    repository.run("git", "switch", "-qc", "people")
    repository.commit()
    repository.run("git", "branch", "-f", "main", "people")
    forge.job("review")
    assert forge.comments() == ["# nplconf: <code>worker-1</code>", "# nplconf: <code>worker-2</code>"]


def test_the_workflow_runs_what_is_here_and_gives_each_job_only_its_rights() -> None:
    jobs = yaml.safe_load((GITOPS / "ci" / "github-workflow.yaml").read_text())["jobs"]
    steps = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    assert {"ci/render", "ci/review"} == set(re.findall(r"ci/\w+", steps))
    assert jobs["review"]["permissions"]["contents"] == "read"


def test_the_delivery_puts_plans_where_the_readme_says() -> None:
    daemonset = yaml.safe_load((GITOPS / "delivery" / "git-sync" / "daemonset.yaml").read_text())
    spec = daemonset["spec"]["template"]["spec"]
    host = spec["volumes"][0]["hostPath"]["path"]
    link = next(a.removeprefix("--link=") for a in spec["containers"][0]["args"] if a.startswith("--link="))
    (play,) = yaml.safe_load((GITOPS / "delivery" / "ansible-pull" / "local.yml").read_text())
    readme = (GITOPS / "README.md").read_text()
    assert f"planDir: {host}/{link}/plans" in readme
    assert play["vars"]["plan_dir"] in readme
    application = yaml.safe_load((GITOPS / "delivery" / "argo-cd" / "application.yaml").read_text())
    assert (GITOPS / application["spec"]["source"]["path"] / "daemonset.yaml").exists()
