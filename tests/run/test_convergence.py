"""From any state, one run reaches the wanted state, and the next one changes nothing."""

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from seams import EMPTY, FakeCluster, FakeNode
from worlds import NODE, cluster, node, pod, service

from nplconf.model import FAMILIES, ClusterState, Pod, PortRange, Service
from nplconf.plan.state import State
from nplconf.rules.iptables import tree
from nplconf.run.reconcile import apply, review
from nplconf.run.verify import verify
from nplconf.settings import Settings

RANGE = PortRange(61000, 61015)
SETTINGS = Settings(node=NODE, port_range=RANGE, max_delete=100, allow_empty=True)
NUMBERS = st.integers(0, 5)


@st.composite
def pods(draw: st.DrawFn) -> list[Pod]:
    names = draw(st.lists(NUMBERS, unique=True, max_size=5))
    return [
        pod(
            f"web-{i}",
            (f"10.244.3.{10 * i + draw(st.integers(1, 2))}", f"fd00:244::{i + 1:x}"),
            uid=f"u{draw(st.integers(0, 1))}",
            labels={"app": draw(st.sampled_from(("web", "other")))},
            phase=draw(st.sampled_from(("Running", "Running", "Succeeded"))),
            annotation=draw(st.sampled_from((None, "x", '[{"podPort":80,"nodeIP":"1.1.1.1","nodePort":61003}]'))),
        )
        for i in names
    ]


@st.composite
def services(draw: st.DrawFn) -> list[Service]:
    return [
        service(
            f"s{i}",
            draw(
                st.lists(st.tuples(st.sampled_from((80, 90)), st.sampled_from(("TCP", "UDP"))), min_size=1, max_size=2)
            ),
            families=draw(st.sampled_from((("IPv4",), ("IPv4", "IPv6")))),
            enabled=draw(st.booleans()),
        )
        for i in draw(st.lists(st.integers(0, 2), unique=True, max_size=3))
    ]


@st.composite
def snapshots(draw: st.DrawFn) -> ClusterState:
    return cluster(node(), *draw(pods()), *draw(services()))


@settings(max_examples=60)
@given(
    snapshots(),
    snapshots(),
    st.sets(st.integers(61000, 61015), max_size=4),
    st.sampled_from(("", "state", "rules", "boot")),
)
def test_any_state_leads_to_any_other_in_one_run(
    first: ClusterState, second: ClusterState, taken: set[int], lost: str
) -> None:
    kernel = FakeNode([], held=RANGE)
    apply(FakeCluster(first, []), kernel, SETTINGS)
    kernel.taken = taken
    if lost == "state":
        kernel.state = State()
    if lost in ("rules", "boot"):
        kernel.tables = dict.fromkeys(FAMILIES, EMPTY)
        kernel.boot = lost
    world = FakeCluster(second, kernel.journal)
    result = apply(world, kernel, SETTINGS)

    assert result.exit_code == 0
    seen = review(world, kernel, SETTINGS)
    assert verify(seen.decision, seen.observed, seen.pods, no_hold=False).ok
    assert not {rule.key.node_port for f in FAMILIES for rule in tree.live(kernel.tables[f], f)} & taken
    published = [
        (e["nodePort"], p.ref.name, e["podPort"]) for p in seen.pods or () for e in json.loads(p.annotation or "[]")
    ]
    assert max(Counter(number for number, *_ in set(published)).values(), default=1) == 1

    kernel.journal.clear()
    again = apply(world, kernel, SETTINGS)
    assert (again.exit_code, again.done, kernel.journal) == (0, (), [])
