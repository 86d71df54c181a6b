"""The modelled Deployment does what the controllers of Kubernetes guarantee."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from loadbalancers import deployment, podlife
from loadbalancers.deployment import Deployment
from loadbalancers.podlife import Life, Shape

UNGATED = Shape(gate=False, min_ready=5, pre_stop=7, start=1)


def states(made: Deployment, now: float, end: float) -> Iterator[tuple[float, Deployment]]:
    """Yield a Deployment after each change, with its time."""
    while now < end:
        made = deployment.step(made, now)
        yield now, made
        now = deployment.next_change(made, now)


def after(made: Deployment, now: float, end: float) -> Deployment:
    return list(states(made, now, end))[-1][1]


@given(replicas=st.integers(1, 6), surge=st.integers(0, 3))
def test_a_rolling_update_keeps_its_bounds_and_ends(replicas: int, surge: int) -> None:
    made = after(Deployment(replicas, UNGATED, surge), 0, 50)
    assert deployment.is_done(made, 50)
    least = replicas if surge else replicas - 1
    for now, state in states(made._replace(revision=2), 50, 1000):
        assert len(state.active) <= replicas + surge
        assert sum(deployment.is_available(life, now) for life in state.active) >= least
    assert deployment.is_done(state, 1000)


@given(replicas=st.integers(1, 6))
def test_a_drain_deletes_one_ready_pod_at_a_time_and_empties_the_node(replicas: int) -> None:
    made = after(Deployment(replicas, UNGATED), 0, 50)
    for now, state in states(made._replace(cordoned=frozenset({"node-a"})), 50, 1000):
        assert sum(podlife.ready_since(life, now) is not None for life in state.active) >= replicas - 1
    assert {life.node for life in state.lives} == {"node-b"}
    assert deployment.is_done(state, 1000)


def test_a_new_template_that_never_becomes_ready_deletes_no_available_pod() -> None:
    made = after(Deployment(3, UNGATED), 0, 50)
    stuck = after(made._replace(revision=2, shape=Shape(gate=True)), 50, 500)
    assert sorted(life.revision for life in stuck.active) == [1, 1, 1, 2]


def test_scaling_down_deletes_the_newest_pods() -> None:
    made = after(Deployment(1, UNGATED), 0, 50)
    grown = after(made._replace(replicas=3), 50, 100)
    assert [life.name for life in after(grown._replace(replicas=1), 100, 200).lives] == ["web-0"]


def test_a_pod_is_ready_only_after_the_condition_of_its_gate() -> None:
    life = Life("web-0", "node-a", "10.244.1.1", Shape(start=1), 1, created=0)
    assert podlife.containers_ready(life, 10)
    assert podlife.ready_since(life, 10) is None
    assert podlife.ready_since(life._replace(opened=4), 10) == 4 + podlife.GATE
    assert podlife.ready_since(life._replace(opened=1), 10) == podlife.ADDRESS + 1 + podlife.PROBE


def test_a_deleted_pod_serves_during_pre_stop_but_not_beyond_its_grace_period() -> None:
    for pre_stop, grace, end in ((5, 60, 105), (50, 20, 120)):
        life = Life("web-0", "node-a", "10.244.1.1", Shape(pre_stop=pre_stop, grace=grace), 1, created=0, deleted=100)
        assert podlife.serves(life, end - 0.1)
        assert not podlife.serves(life, end)
        assert not podlife.gone(life, end)
        assert podlife.gone(life, end + Shape().finish + 1)


def test_a_crashed_process_serves_again_after_its_restart() -> None:
    life = Life("web-0", "node-a", "10.244.1.1", UNGATED, 1, created=0, crashed=20)
    back = 20 + podlife.NOTICE + podlife.RESTART + UNGATED.start
    facts = [(podlife.serves(life, at), podlife.containers_ready(life, at)) for at in (19, 20, 20.5, back, back + 1)]
    assert facts == [(True, True), (False, True), (False, False), (True, False), (True, True)]
