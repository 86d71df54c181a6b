"""A node with a reviewed plan and without a cluster: everything that plan and kernel show is reported."""

import pytest
from echo import Answer
from netns import CLIENT, World, batch
from worlds import NODE, raw_service

pytestmark = pytest.mark.kernel


@pytest.fixture
def alone(node: World) -> World:
    """A plan was rendered elsewhere; the cluster it was made from is gone."""
    service = raw_service()
    service["spec"]["selector"] = {"app": "web-0"}
    node.write(node.routed("web-0", "10.244.3.17"), service)
    assert node.nplconf("render", "--out", str(node.directory / f"{NODE}.yaml")).returncode == 0
    node.cluster.unlink()
    node.start_hold()
    return node


def test_its_plan_is_applied_verified_and_shown(alone: World) -> None:
    options = ("--no-cluster", f"--plan-dir={alone.directory}")
    drift = alone.json("verify", *options)
    assert (drift.code, [row["rule"] for row in drift.data["mappings"]]) == (2, ["missing"])

    assert alone.apply(*options).counts == (0, 1, 0)

    (row,) = alone.json("verify", *options).data["mappings"]
    assert (row["rule"], row["hold"], row["annotation"]) == ("ok", "ok", "na")
    assert alone.ask("client", "10.10.10.10", row["mapping"]["nodePort"]) == Answer("web-0", 8080, CLIENT["IPv4"])
    assert alone.nplconf("plan", *options, "--detailed-exitcode").returncode == 0
    assert 'data-state="mapped"' in alone.nplconf("report", *options).stdout


def test_a_row_that_leads_to_the_node_itself_fails_alone(alone: World) -> None:
    options = ("--no-cluster", f"--plan-dir={alone.directory}")
    batch(f"-n {alone.node}", "addr add 192.0.2.50/32 dev lo")
    plan = alone.directory / f"{NODE}.yaml"
    plan.write_text(plan.read_text().replace("podIP: 10.244.3.17", "podIP: 192.0.2.50"))

    applied = alone.apply(*options)

    assert (applied.code, applied.data["summary"]["changed"]) == (5, 0)
    assert "192.0.2.50 is this node's own address" in applied.stderr
    assert alone.json("show").data["mappings"] == []


def test_what_only_a_cluster_knows_is_not_made_up(alone: World) -> None:
    asked = alone.nplconf("explain", "shop/web-0", "--no-cluster", f"--plan-dir={alone.directory}")
    assert asked.returncode == 64
    assert "explain needs a cluster" in asked.stderr
