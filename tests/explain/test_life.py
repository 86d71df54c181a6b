"""explain's answer for a mapping with a rule and without an entry in the annotation."""

from dataclasses import replace

from inmemory import SETTINGS, World
from worlds import pod, service

from nplconf.explain.question import ExplainFacts
from nplconf.explain.sentences import of_rows
from nplconf.run.decide import decide
from nplconf.run.reconcile import observe
from nplconf.run.verify import verify
from nplconf.settings import Settings


def output(world: World, settings: Settings = SETTINGS) -> str:
    observed = observe(world.node)
    decision = decide(world.cluster.state, observed, settings)
    found = verify(decision, observed, world.cluster.state.pods, no_hold=False)
    facts = ExplainFacts(
        verified=found, decision=decision, observed=observed, cluster=world.cluster.state, settings=settings
    )
    (line,) = of_rows(found.rows, facts)
    return line


def test_a_draining_pod() -> None:
    world = World(pod(), service())
    world.apply()
    assert "rule, hold and annotation are in place" in output(world)
    world.pods(replace(world.cluster.state.pods[0], terminating=True))
    assert "annotation exists but draining" in output(world)
    world.apply()
    assert "draining, withdrawn from the annotation" in output(world)


def test_a_pod_whose_containers_are_not_ready() -> None:
    settings = replace(SETTINGS, publish_when="containers-ready")
    world = World(pod(), service())
    world.apply(settings)
    assert "published once the Pod's containers are ready" in output(world, settings)
