"""The output for a reviewer: the page of a plan, and the Markdown of the difference between two."""

import json
from dataclasses import replace
from pathlib import Path

import nodes
import plans
import pytest
import worlds

from nplconf.cli import plans as plan_files
from nplconf.cli.commands import plan as plan_command
from nplconf.cli.main import main
from nplconf.model import Plan, Skipped
from nplconf.plan import document
from nplconf.run.decide import decide
from nplconf.run.decision import Bounds


def written(path: Path, number: int) -> str:
    path.write_text(document.dump(plans.plan(plans.mapping(node_port=number))))
    return str(path)


def test_a_plan_becomes_a_page_without_node_or_cluster(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(["report", written(tmp_path / "a.yaml", 61044), "--out", str(out)]) == 0
    assert 'data-port="61044" data-state="mapped"' in out.read_text()


def test_two_plans_become_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path / "a.yaml", 61044), written(tmp_path / "b.yaml", 61045)
    assert main(["diff", a, b, "-o", "markdown", "--detailed-exitcode"]) == 2
    output = capsys.readouterr().out
    assert output.startswith("# nplconf: <code>worker-1</code>\n\n**0 to delete, 1 to change, 0 to add**")
    assert "| <code>61044</code> → <code>tcp/61045</code> | <code>shop/web-0:8080</code> |" in output


def test_between_two_plans_only_new_skipped_rows_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Skipped("shop/old", 9090, "sctp", "shop/web", "protocol-unsupported", "no SCTP")
    new = replace(old, pod="shop/new")
    for name, skipped in (("a", (old,)), ("b", (new, old))):
        (tmp_path / f"{name}.yaml").write_text(document.dump(plans.plan(plans.mapping(), skipped=skipped)))
    both = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert main(["diff", *both, "-o", "json", "--detailed-exitcode"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["pod"] for row in data["skipped"]] == ["shop/new"]
    assert data["summary"]["skipped"] == 1
    main(["diff", *both])
    assert "shop/new:9090/sctp" in capsys.readouterr().out


def test_another_nodes_plan_is_not_compared_with_this_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", written(tmp_path / "a.yaml", 61044), "--node", "worker-2"]) == 65
    assert "a plan for node worker-1, this one is worker-2" in capsys.readouterr().err


@pytest.mark.parametrize("reviewed", [None, plans.plan(cluster="another")])
def test_a_plan_is_saved_as_it_was_decided_and_none_where_nothing_could_be(
    tmp_path: Path, reviewed: Plan | None
) -> None:
    cluster = worlds.cluster(worlds.node(), worlds.pod(), worlds.service())
    decision = decide(cluster, nodes.observed(), nodes.settings(), Bounds(reviewed))
    out = tmp_path / "saved.yaml"
    plan_command.save(decision, str(out))
    assert out.exists() == (reviewed is None)
    if reviewed is None:
        assert plan_files.read(str(out)) == decision.plan


def test_a_plan_that_is_none_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{}")
    assert main(["report", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "x.html")]) == 65
    assert not (tmp_path / "x.html").exists()


def test_the_plan_of_another_node_is_not_compared_with_this_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", written(tmp_path / "a.yaml", 61044), "--node", "worker-2"]) == 65
    assert "a plan for node worker-1, this one is worker-2" in capsys.readouterr().err


def test_a_node_that_can_have_no_plan_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = worlds.write_objects(tmp_path / "dump.json", worlds.raw_list(worlds.raw_node("Worker_1")))
    assert main(["render", "--cluster-state", str(dump), "--node", "Worker_1"]) == 65
    output = capsys.readouterr()
    assert (output.out, "no DNS name" in output.err) == ("", True)


@pytest.mark.parametrize("words", [("-v",), ()])
def test_verbose_says_where_the_cluster_state_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    dump = worlds.write_objects(tmp_path / "dump.json", worlds.raw_list(worlds.raw_node()))
    assert main(["render", "--cluster-state", str(dump), "--node", worlds.NODE, *words]) == 0
    assert capsys.readouterr().err == (f"nplconf: info: cluster state: {dump}\n" if words else "")
