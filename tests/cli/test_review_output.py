"""What a reviewer is handed: a page of a plan, and Markdown of what lies between two."""

from pathlib import Path

import plans
import pytest

from nplconf.cli.main import main
from nplconf.plan import document


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
    said = capsys.readouterr().out
    assert said.startswith("# nplconf: <code>worker-1</code>\n\n**0 to delete, 1 to change, 0 to add**")
    assert "| <code>61044</code> → <code>tcp/61045</code> | <code>shop/web-0:8080</code> |" in said


def test_a_plan_that_is_none_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{}")
    assert main(["report", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "x.html")]) == 65
    assert not (tmp_path / "x.html").exists()
