"""Plans that are rendered again after few Pods have changed: each equals the plan that is rendered as a whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BOTH, NODE, cluster, mapping, node, pod, ref, service

from nplconf.cache import Cache
from nplconf.desired.incremental import Rendered, RenderInputs, render_incrementally
from nplconf.desired.ports import Previous
from nplconf.desired.render import Desired, rendered
from nplconf.desired.services import select
from nplconf.model import ContainerPort, Plan, Pod, PodPort, PortMapping, PortRange, Service, in_plan_order
from nplconf.plan.cooling import Cooling
from nplconf.plan.policy import Policy

TEN = PortRange(61000, 61009)
WIDE = PortRange(61000, 61099)


@dataclass
class World:
    """A node whose live rules are those of the last plan."""

    settings: Desired = field(default_factory=lambda: Desired(TEN, namespace_share=100))
    pods: dict[int, Pod] = field(
        default_factory=lambda: {index: pod(f"web-{index}", (f"10.244.3.{index + 1}",)) for index in range(8)}
    )
    services: dict[int, Service] = field(default_factory=lambda: {0: service()})
    cache: Cache = field(default_factory=Cache)
    before: RenderInputs | None = None
    earlier: Rendered | None = None
    counts: list[int] = field(default_factory=list)
    """How many Pods were rendered, each time that a plan was rendered again."""

    def past(self, live: Sequence[PortMapping] | None = None, **changes: Any) -> Previous:
        """What is known of earlier allocations. live: the live mappings, where they are not those of the last plan."""
        planned = self.earlier.plan.mappings if self.earlier else ()
        with_rules = [m for m in planned if m.via == "dnat"]
        rows = tuple(sorted(with_rules if live is None else live, key=in_plan_order))
        return replace(Previous(live=rows, planned=planned, freed_at=100.0), **changes)

    def render(self, **past: Any) -> Plan:
        """Render a plan from the earlier one, and compare it with that of all Pods."""
        state = cluster(node(), *self.pods.values(), *self.services.values())
        selection = self.cache.last(select, state.services)
        now = RenderInputs(selection, state.identity, node(), self.settings, state.pods, self.past(**past))
        found, whole = None, rendered(now)
        if self.before and self.earlier:
            found = render_incrementally(self.before, self.earlier, now, self._counted)
        if found:
            assert found.plan == whole.plan
        else:
            self.counts.append(len(now.pods))
        self.before, self.earlier = now, found or whole
        return self.earlier.plan

    def _counted(self, inputs: RenderInputs) -> Rendered:
        self.counts.append(len(inputs.pods))
        return rendered(inputs)


def count(world: World, **past: Any) -> int:
    """Return how many Pods are rendered."""
    world.counts.clear()
    world.render(**past)
    return world.counts[-1]


COMES: dict[str, Callable[[World], object]] = {
    "a Pod comes": lambda world: world.pods.update({8: pod("web-8", ("10.244.3.20",))}),
    "a Pod gets another address": lambda world: world.pods.update({0: pod("web-0", ("10.244.3.30",))}),
    "a Pod is replaced": lambda world: world.pods.update({0: pod("web-0", ("10.244.3.1",), uid="new")}),
    "a Pod gets the address of one that ends": lambda world: world.pods.update(
        {0: replace(world.pods[0], phase="Succeeded"), 8: pod("web-8", ("10.244.3.1",))}
    ),
    "a Pod is not selected": lambda world: world.pods.update({0: replace(world.pods[0], labels={})}),
    "a Pod has no address": lambda world: world.pods.update({0: pod("web-0", ())}),
}


@pytest.mark.parametrize("change", COMES.values(), ids=COMES)
def test_only_the_changed_pods_are_rendered(change: Callable[[World], object]) -> None:
    world = World()
    world.render()
    change(world)
    assert count(world) == 1
    assert count(world) == 0


def test_a_pod_that_goes_takes_its_row_along() -> None:
    world = World()
    world.render()
    del world.pods[2]
    assert count(world) == 0
    assert "web-2" not in {m.pod.name for m in world.render().mappings}


def test_an_unchanged_row_is_the_same_object() -> None:
    world = World()
    first = {m.pod.name: m for m in world.render().mappings}
    world.pods[0] = pod("web-0", ("10.244.3.30",))
    second = {m.pod.name: m for m in world.render().mappings}
    assert {name for name in first if second[name] is first[name]} == {f"web-{index}" for index in range(1, 8)}


CROSSES: dict[str, Callable[[World], object]] = {
    "an address of another Pod": lambda world: world.pods.update({8: pod("web-8", ("10.244.3.1",))}),
    "a hostPort": lambda world: world.pods.update(
        {8: pod("web-8", ("10.244.3.20",), ports=(ContainerPort(80, host_port=61001),))}
    ),
    "more Pods than node ports": lambda world: world.services.update(
        {1: service("many", [(1000 + number, "TCP") for number in range(2)])}
    ),
    "another Service": lambda world: world.services.update({1: service("s1", [(90, "TCP")])}),
    "another share": lambda world: setattr(world, "settings", replace(world.settings, namespace_share=10)),
    "a policy": lambda world: setattr(world, "settings", replace(world.settings, policy=Policy(per_pod=1))),
}


@pytest.mark.parametrize("change", CROSSES.values(), ids=CROSSES)
def test_all_pods_are_rendered_where_one_can_change_the_rows_of_another(change: Callable[[World], object]) -> None:
    world = World()
    world.render()
    change(world)
    assert count(world) >= 8


def row(index: int, port: int, **fields: Any) -> PortMapping:
    return mapping(port, pod=ref(f"web-{index}"), pod_ip=f"10.244.3.{index + 1}", **fields)


STRANGER = mapping(61000, "udp", pod=ref("stranger"), pod_ip="10.244.3.99")
ROWS = [row(index, 61000 + index) for index in range(8)]
PASTS: dict[str, dict[str, Any]] = {
    "no live rule": {"live": []},
    "one live rule less": {"live": ROWS[1:]},
    "a port that is not available": {"taken": frozenset(TEN.numbers[:3])},
    "a live rule of another owner at the same port": {"live": [*ROWS, STRANGER]},
    "another live rule of the same owner": {"live": [*ROWS, row(3, 61009)]},
    "other ports in the live rules": {"live": [row(index, 61009 - index) for index in range(8)]},
}


@pytest.mark.parametrize("past", PASTS.values(), ids=PASTS)
def test_all_pods_are_rendered_where_one_may_lose_its_port(past: dict[str, Any]) -> None:
    world = World()
    world.render(live=ROWS)
    assert count(world) == 0
    assert count(world, **past) == 8


def test_a_refused_pod_gets_the_port_that_another_one_leaves() -> None:
    world = World(Desired(TEN, namespace_share=70))
    world.render()
    world.pods[8] = pod("web-8", ("10.244.3.20",))
    assert [row.reason for row in world.render().skipped] == ["namespace-share"]
    del world.pods[3]
    assert not world.render().skipped


def test_a_cap_of_a_policy_counts_all_pods() -> None:
    world = World(Desired(TEN, policy=Policy(per_namespace=8)))
    world.render()
    world.pods[8] = pod("web-8", ("10.244.3.20",))
    assert [row.reason for row in world.render().skipped] == ["policy"]


def test_a_pod_is_served_once_it_alone_has_its_address() -> None:
    world = World()
    world.pods |= {8: pod("web-8", ("10.244.3.20",)), 9: pod("web-9", ("10.244.3.20",))}
    assert {row.reason for row in world.render().skipped} == {"pod-ip-shared"}
    del world.pods[9]
    assert not world.render().skipped


def test_two_new_pods_can_share_an_address() -> None:
    world = World()
    world.render()
    world.pods |= {8: pod("web-8", ("10.244.3.20",)), 9: pod("web-9", ("10.244.3.20",))}
    assert [row.reason for row in world.render().skipped] == ["pod-ip-shared"] * 2


def test_a_new_pod_does_not_get_the_host_port_of_another_one() -> None:
    world = World()
    world.pods[7] = pod("db", ("10.244.3.20",), labels={}, ports=(ContainerPort(80, host_port=61008),))
    world.render()
    world.pods[8] = pod("web-8", ("10.244.3.21",), annotation='[{"podPort":8080,"nodePort":61008}]')
    assert count(world) == 1
    assert 61008 not in {m.node_port for m in world.render().mappings}


def test_a_planned_port_that_is_not_the_live_one_is_free() -> None:
    world = World(services={0: service(), 1: service(namespace="team")})
    world.render(live=ROWS)
    world.pods[8] = pod("web-8", ("10.244.3.20",), namespace="team", annotation='[{"podPort":8080,"nodePort":61009}]')
    assert count(world, planned=(*ROWS[1:], row(0, 61009))) == 1
    assert 61009 in {m.node_port for m in world.render().mappings}


def test_rows_that_are_too_many_are_counted() -> None:
    world = World(services={index: service(f"s{index}", [(80, "TCP")]) for index in range(130)})
    world.pods = {index: replace(one, ips=()) for index, one in world.pods.items() if index < 7}
    assert len(world.render().skipped) == 910
    world.pods[7] = pod("web-7", ())
    assert world.render().skipped[-1].reason == "and-more"


# --- any change ------------------------------------------------------------------------------------------------------

RARELY = st.sampled_from([True, *[False] * 9])
PORTS: tuple[list[tuple[int | str, str]], ...] = (
    [(80, "TCP")],
    [(80, "TCP")],
    [(80, "UDP"), (90, "TCP")],
    [("web", "TCP")],
    [(80, "SCTP")],
    [(1000 + number, "TCP") for number in range(30)],
)


@st.composite
def pods(draw: st.DrawFn, index: int) -> Pod:
    """A Pod that mostly shares nothing with those of other indexes."""
    addresses = st.lists(st.integers(1, 12), max_size=2) if draw(RARELY) else st.just([index + 1])
    return pod(
        draw(st.sampled_from(("web-0", "a\nb"))) if draw(RARELY) else f"web-{index}",
        tuple(f"10.244.3.{last}" for last in draw(addresses)),
        namespace="team" if index % 2 and draw(st.booleans()) else "shop",
        uid=draw(st.sampled_from("ab")),
        on="worker-2" if draw(RARELY) else NODE,
        phase="Succeeded" if draw(RARELY) else "Running",
        host_network=draw(RARELY),
        ports=(ContainerPort(80, "web", host_port=61003 if draw(RARELY) else 0),) if draw(st.booleans()) else (),
        annotation=draw(st.sampled_from([None, "[]", '[{"podPort":80,"nodePort":61004}]'])),
        terminating=draw(RARELY),
    )


SERVICES = st.builds(
    service,
    st.sampled_from(["s0", "s1", "s2"]),
    st.sampled_from(PORTS),
    namespace=st.sampled_from(["shop", "team"]),
    families=st.sampled_from((("IPv4",), ("IPv4",), BOTH)),
    type=st.sampled_from(["ClusterIP"] * 5 + ["NodePort"]),
    node_port=st.sampled_from((0, 0, 61005)),
)
OWNERS = st.builds(PodPort, st.sampled_from([f"shop/web-{index}" for index in range(8)]), st.sampled_from((80, 1000)))


ROW = st.builds(row, st.integers(0, 8), st.integers(60999, 61012), pod_port=st.sampled_from((80, 1000)))


@st.composite
def disturbed(draw: st.DrawFn, world: World) -> dict[str, Any]:
    """What may be known of earlier allocations, beside the last plan."""
    planned, there = world.past().planned, world.past().live
    live = {
        "same": there,
        "one less": there[1:],
        "one more": (*there, draw(ROW)),
        "another": (*there[:-1], draw(ROW)),
        "none": (),
    }
    cooling = st.builds(Cooling, st.integers(61000, 61009), OWNERS, st.sampled_from((1.0, 2.0, 100.0)))
    return {
        "live": live[draw(st.sampled_from((*["same"] * 5, *live)))],
        "taken": frozenset(draw(st.sampled_from(((), (), (61001,), (61001, 61002))))),
        "cooling": tuple({c.number: c for c in draw(st.lists(cooling, max_size=3))}.values()),
        "planned": (*planned[:-1], draw(ROW)) if draw(RARELY) else planned,
        "numbers": draw(st.sampled_from(((), ({PodPort("shop/web-1", 80): 61007},)))),
        "before": draw(st.dictionaries(OWNERS, st.integers(61000, 61009), max_size=2)),
        "freed_at": draw(st.sampled_from((None, 100.0))),
    }


@settings(max_examples=150)
@given(st.data())
def test_an_incremental_plan_is_the_plan_of_all_pods(data: st.DataObject) -> None:
    world = World(
        Desired(
            data.draw(st.sampled_from((TEN, WIDE, WIDE)), label="range"),
            namespace_share=data.draw(st.sampled_from((30, 100)), label="share"),
            policy=data.draw(st.sampled_from((None, None, None, Policy(per_namespace=3))), label="policy"),
        ),
        pods={index: data.draw(pods(index)) for index in range(data.draw(st.integers(4, 9), label="Pods"))},
        services=dict(enumerate(data.draw(st.lists(SERVICES, min_size=1, max_size=2), label="Services"))),
    )
    world.render()
    for _ in range(data.draw(st.integers(1, 5), label="changes")):
        index = data.draw(st.integers(0, 9))
        what = data.draw(st.sampled_from(("comes", "comes", "goes", "nothing")))
        if what == "comes":
            world.pods[index] = data.draw(pods(index))
        elif what == "goes":
            world.pods.pop(index, None)
        world.render(**data.draw(disturbed(world)))
