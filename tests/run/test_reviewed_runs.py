"""Runs with a reviewed plan, and what they do not change."""

from dataclasses import replace

from seams import FakeCluster, FakeNode
from worlds import NODE, cluster, mapping, node, plan, pod, service

from nplconf.errors import UnavailableError
from nplconf.model import Plan, Pod, Service
from nplconf.run.decision import Bounds
from nplconf.run.outcome import Result
from nplconf.run.reconcile import apply, apply_plan, keep_last, review
from nplconf.settings import Settings

SETTINGS = Settings(node=NODE)
NAMES = ("web-0", "web-1", "web-2")
PODS = {name: pod(name, [f"10.244.3.{i + 10}"]) for i, name in enumerate(NAMES)}
ROWS = {
    name: mapping(61000 + i, pod=PODS[name].ref, pod_ip=PODS[name].ips[0]) for i, name in enumerate(NAMES)
}  # fmt: skip
REVIEWED = plan(ROWS["web-0"], ROWS["web-1"])


class World:
    """A cluster whose Pods come and go, and a node."""

    def __init__(self, *names: str) -> None:
        self.journal: list[str] = []
        self.cluster = FakeCluster(cluster(node()), self.journal)
        self.node = FakeNode(self.journal)
        self.run(*names)

    def run(self, *names: str, services: tuple[Service, ...] = (service(),)) -> None:
        reported = {p.ref.name: p.annotation for p in self.cluster.state.pods}
        self.pods(*(replace(PODS[name], annotation=reported.get(name)) for name in names))
        self.cluster.state = replace(self.cluster.state, services=services)

    def pods(self, *pods: Pod) -> None:
        self.cluster.state = replace(self.cluster.state, pods=pods)

    def apply(self, reviewed: Plan | None = REVIEWED, *, exact: bool = False) -> Result:
        self.journal.clear()
        return apply(self.cluster, self.node, SETTINGS, Bounds(reviewed, exact=exact))

    def keep(self) -> Result | None:
        self.journal.clear()
        return keep_last(self.cluster, self.node, SETTINGS, "no plan")


def test_a_gone_pod_is_stale_and_the_rest_is_applied() -> None:
    world = World("web-1")
    result = world.apply()
    assert result.exit_code == 3
    assert world.node.numbers() == [61001]


def test_a_pod_without_a_review_waits_and_that_is_no_failure() -> None:
    world = World("web-0", "web-1", "web-2")
    result = world.apply()
    assert result.exit_code == 0
    assert world.node.numbers() == [61000, 61001]
    assert [p.pod.name for p in result.decision.pending] == ["web-2"]
    assert world.cluster.annotation("web-2") is None


def test_no_rule_leads_to_the_next_owner_of_a_gone_pods_address() -> None:
    world = World("web-0", "web-1")
    world.apply()
    heir = replace(PODS["web-2"], ips=PODS["web-0"].ips)
    world.pods(heir, PODS["web-1"])
    result = world.apply()
    assert result.exit_code == 3
    assert world.node.numbers() == [61001]


def test_a_mapping_that_no_review_knows_goes_and_says_why() -> None:
    world = World("web-0", "web-2")
    world.apply(None)
    result = world.apply(plan(ROWS["web-0"]))
    assert [(c.action, c.reason) for c in result.done if c.action == "delete"] == [("delete", "not-reviewed")]


def test_exact_applies_all_or_nothing() -> None:
    world = World("web-0", "web-1", "web-2")
    for names in (("web-0", "web-1", "web-2"), ("web-0",)):
        world.run(*names)
        result = world.apply(exact=True)
        assert result.exit_code == 3
        assert result.decision.diff.changes == ()
        assert result.patches == ()
        assert world.journal == []
    world.run("web-0", "web-1")
    assert world.apply(exact=True).exit_code == 0
    assert world.node.numbers() == [61000, 61001]


def test_exact_fails_for_a_port_that_another_program_has() -> None:
    world = World("web-0", "web-1")
    world.run("web-0", "web-1", services=(service(), service("lb", node_port=61000, enabled=False)))
    result = world.apply(exact=True)
    assert result.exit_code == 3
    assert [f.message for f in result.failures] == ["port 61000 is a nodePort of Service shop/lb"]
    assert world.journal == []


def test_a_mapping_whose_reviewed_number_is_not_available_goes_and_says_why() -> None:
    world = World("web-0", "web-1")
    world.apply(None)
    world.run("web-0", "web-1", services=(service(), service("lb", node_port=61000, enabled=False)))
    result = world.apply()
    assert result.exit_code == 5
    assert [(f.step, f.subject) for f in result.failures] == [("number", "tcp/61000 shop/web-0:8080")]
    assert {c.reason for c in result.done if c.action == "delete"} == {"number-unavailable"}
    assert world.node.numbers() == [61001]


def test_a_number_that_another_program_has_fails_its_mapping_and_not_the_node() -> None:
    world = World("web-0")
    world.node.taken = [61000]
    taken = world.apply(plan(ROWS["web-0"]))
    assert (taken.exit_code, [f.step for f in taken.failures]) == (5, ["hold"])
    world.node.taken = []
    world.run("web-0", services=(service(), service("lb", node_port=61000, enabled=False)))
    theirs = world.apply(plan(ROWS["web-0"]))
    assert (theirs.exit_code, [f.step for f in theirs.failures]) == (5, ["number"])


def test_an_older_plan_is_the_way_back() -> None:
    world = World("web-0", "web-1", "web-2")
    world.apply()
    world.apply(plan(ROWS["web-0"], ROWS["web-2"]))
    assert world.node.numbers() == [61000, 61002]
    world.apply()
    assert world.node.numbers() == [61000, 61001]


def test_another_clusters_plan_changes_nothing() -> None:
    world = World("web-0")
    world.apply()
    for result in (
        world.apply(replace(plan(), cluster="another")),
        apply_plan(world.node, SETTINGS, replace(plan(), cluster="another")),
    ):
        assert result.exit_code == 4
        assert world.node.numbers() == [61000]


def test_without_a_cluster_the_plans_addresses_are_trusted_and_nothing_is_published() -> None:
    world = World()
    result = apply_plan(world.node, SETTINGS, REVIEWED)
    assert result.exit_code == 0
    assert world.node.numbers() == [61000, 61001]
    assert not any(line.startswith("patch") for line in world.journal)


def test_the_limits_hold_without_a_cluster_too() -> None:
    world = World()
    rows = [mapping(61000 + i, pod=pod(f"p-{i}").ref, pod_ip=f"10.244.3.{i + 1}") for i in range(12)]
    apply_plan(world.node, SETTINGS, plan(*rows))
    assert apply_plan(world.node, SETTINGS, plan()).exit_code == 4
    assert apply_plan(world.node, SETTINGS, plan(*rows[:5])).exit_code == 4
    assert len(world.node.numbers()) == 12
    assert apply_plan(world.node, SETTINGS, plan(*rows[:6])).exit_code == 0
    assert len(world.node.numbers()) == 6


def test_without_a_readable_plan_the_last_good_one_counts_on_as_a_reviewed_one() -> None:
    world = World("web-0", "web-1")
    world.apply()
    world.node.tables = dict(FakeNode([]).tables)
    world.keep()
    assert world.node.numbers() == [61000, 61001]
    world.run("web-1", "web-2")
    world.keep()
    assert world.node.numbers() == [61001], "a gone Pod has no rule, a new one waits"
    world.run("web-0", "web-1")
    world.keep()
    assert world.node.numbers() == [61000, 61001], "a Pod that comes back is served"


def test_without_a_readable_plan_and_a_cluster_the_node_is_healed_all_the_same() -> None:
    world = World("web-0", "web-1")
    world.apply()
    world.node.tables = dict(FakeNode([]).tables)
    world.cluster.error = UnavailableError("gone")
    result = world.keep()
    assert result is not None
    assert result.degraded
    assert world.node.numbers() == [61000, 61001]


def test_a_plan_of_an_earlier_boot_is_nothing_to_keep_to() -> None:
    world = World("web-0")
    world.apply()
    world.node.boot = "boot-2"
    result = world.keep()
    assert result
    assert [change.reason for change in result.done] == ["other-boot"]
    assert world.keep() is None


def test_review_reports_the_same_as_apply_and_changes_nothing() -> None:
    world = World("web-1", "web-2")
    seen = review(world.cluster, world.node, SETTINGS, Bounds(REVIEWED))
    assert world.journal == []
    assert [s.reason for s in seen.decision.stale] == ["pod-gone"]
    assert [p.pod.name for p in seen.decision.pending] == ["web-2"]
