"""The plan that is binding for a run, and plans that are rejected."""

from dataclasses import replace
from pathlib import Path

import pytest
import worlds

from nplconf.cli import options, plans
from nplconf.errors import BadConfigError, BadDataError
from nplconf.model import PortRange
from nplconf.plan import document
from nplconf.settings import Settings

SETTINGS = Settings(node=worlds.NODE)


def written(directory: Path, text: str | None = None) -> Path:
    path = directory / f"{worlds.NODE}.yaml"
    path.write_text(document.dump(worlds.plan(worlds.mapping())) if text is None else text)
    return path


def config(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return {"config": str(path)}


def test_a_plan_directory_on_the_command_line_is_used_whatever_the_mode(tmp_path: Path) -> None:
    settings = options.resolve({"plan_dir": str(tmp_path), "node": worlds.NODE}, {})
    assert plans.given(None, settings) == str(tmp_path / "worker-1.yaml")


def test_a_plan_directory_of_the_environment_is_used_too(tmp_path: Path) -> None:
    settings = options.resolve({"node": worlds.NODE}, {"NPLCONF_PLAN_DIR": str(tmp_path)})
    assert plans.given(None, settings) == str(tmp_path / "worker-1.yaml")


def test_a_plan_directory_of_the_config_file_waits_for_reviewed_mode(tmp_path: Path) -> None:
    automatic = options.resolve(config(tmp_path, "planDir: /plans\nnode: worker-1\n"), {})
    assert plans.given(None, automatic) is None
    reviewed = options.resolve(config(tmp_path, "planDir: /plans\nmode: reviewed\nnode: worker-1\n"), {})
    assert plans.given(None, reviewed) == "/plans/worker-1.yaml"


def test_a_plan_that_is_named_goes_before_the_directory(tmp_path: Path) -> None:
    assert plans.given("plan.yaml", replace(SETTINGS, mode="reviewed", plan_dir=str(tmp_path))) == "plan.yaml"


def test_reviewed_mode_without_any_plan_is_a_bad_configuration() -> None:
    with pytest.raises(BadConfigError, match="planDir"):
        plans.given(None, replace(SETTINGS, mode="reviewed"))


def test_a_node_name_leads_out_of_no_directory(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="no name of a node"):
        plans.given(None, replace(SETTINGS, mode="reviewed", plan_dir=str(tmp_path), node="../etc/passwd"))


def test_a_good_plan_is_taken_also_through_swapped_links(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name)
    current = tmp_path / "current"
    for name in ("one", "two"):
        (tmp_path / "new").symlink_to(name)
        (tmp_path / "new").replace(current)
        plan = plans.bounds(str(current / "worker-1.yaml"), SETTINGS).plan
        assert plan is not None
        assert [m.node_port for m in plan.mappings] == [61044]


@pytest.mark.parametrize("text", ["", "spec: [", "{}", "kind: NodePlan\n"])
def test_an_invalid_plan_is_never_an_empty_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadDataError, match="problem"):
        plans.bounds(str(written(tmp_path, text)), SETTINGS)


def test_a_missing_plan_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"worker-1\.yaml: no such file"):
        plans.bounds(str(tmp_path / "worker-1.yaml"), SETTINGS)


def test_a_plan_for_another_node_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="a plan for node worker-1, this one is worker-2"):
        plans.bounds(str(written(tmp_path)), replace(SETTINGS, node="worker-2"))


def test_a_plan_gets_no_port_outside_the_port_range(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="not inside --port-range 61000-61999"):
        plans.bounds(str(written(tmp_path)), replace(SETTINGS, port_range=PortRange(61000, 61999)))


def test_a_plan_that_is_given_binds_by_itself_and_its_rows_keep_the_source_ranges_they_were_rendered_with(
    tmp_path: Path,
) -> None:
    reviewed = worlds.plan(worlds.mapping()._replace(source_ranges=("10.0.0.0/8",)))
    path = written(tmp_path, document.dump(reviewed))
    bound = plans.bounds(str(path), replace(SETTINGS, policy=str(tmp_path / "policy.yaml")))
    assert bound.policy is None
    assert bound.plan is not None
    assert [row.source_ranges for row in bound.plan.mappings] == [("10.0.0.0/8",)]


def test_thousands_of_problems_of_a_plan_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = worlds.plan(*(worlds.mapping() for _ in range(2_000)))
    with pytest.raises(BadDataError, match="1999 problems"):
        plans.read(str(written(tmp_path, document.dump(plan))))
    output = capsys.readouterr().err.splitlines()
    assert len(output) == 101
    assert output[-1].endswith("and 1,899 more")
