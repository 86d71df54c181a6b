"""From any state to any other in one run, whatever was done to the rules in between; on the real kernel."""

from collections.abc import Callable

import foreign
import nftdamage
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from netns import IPTABLES, World
from runs import FULL, Runs
from worlds import cluster, node, pod, service

from nplconf.model import FAMILIES, ClusterState, Family

pytestmark = pytest.mark.kernel
NAMES = ("web-0", "web-1", "web-2", "web-3")
Lines = list[str]


@st.composite
def snapshots(draw: st.DrawFn) -> ClusterState:
    """Some of four Pods, at one of two addresses each, and what is asked of them."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    places = {name: (i, draw(st.integers(0, 1))) for i, name in enumerate(names)}
    pods = [
        pod(name, (f"10.244.{at}.{i + 1}", f"fd00:244:{at}::{i + 1:x}"), uid=f"u{draw(st.integers(0, 1))}")
        for name, (i, at) in places.items()
    ]
    asked = draw(st.lists(st.sampled_from([(80, "TCP"), (80, "UDP"), (53, "UDP")]), unique=True))
    families = draw(st.sampled_from([("IPv4",), ("IPv6",), ("IPv4", "IPv6")]))
    return cluster(node(), *pods, service("web", asked, families=families, enabled=bool(asked)))


# --- damage to the rules -----------------------------------------------------------------------------------------


def own(lines: Lines) -> list[int]:
    """Return the places of the rules in nplconf's chains, and of the jumps to them."""
    return [i for i, line in enumerate(lines) if line[0] == "-" and foreign.ours(line)]


def lose(lines: Lines, at: int) -> Lines:
    return lines[:at] + lines[at + 1 :]


def double(lines: Lines, at: int) -> Lines:
    return lines[: at + 1] + lines[at:]


def swap(lines: Lines, at: int) -> Lines:
    """Swap with the next rule of the same chain. In POSTROUTING the jump may follow a harmless rule."""
    same = at + 1 < len(lines) and lines[at].split()[:2] == lines[at + 1].split()[:2]
    same = same and lines[at].split()[1] != "POSTROUTING"
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]] if same else lines


def to_front(lines: Lines, at: int) -> Lines:
    chain = lines[at].split()[1]
    first = next(i for i, line in enumerate(lines) if line.startswith(f"-A {chain} "))
    return [*lines[:first], lines[at], *lines[first:at], *lines[at + 1 :]]


def forge(lines: Lines, at: int) -> Lines:
    return _retag(lines, at, "nplconf:kube-system/evil:80:u0")


def take_over(lines: Lines, at: int) -> Lines:
    return _retag(lines, at, "nplconf:shop/web-0:80:u0")


def cut(lines: Lines, at: int) -> Lines:
    return _retag(lines, at, "nplconf:shop/we")


def _retag(lines: Lines, at: int, tag: str) -> Lines:
    before, quote, rest = lines[at].partition('--comment "')
    if not quote:
        before, quote, rest = lines[at].partition("--comment ")
        rest = " " + rest.partition(" ")[2]
    else:
        rest = rest.partition('"')[2]
    return [*lines[:at], f"{before}--comment {tag}{rest}", *lines[at + 1 :]] if quote else lines


def stray(lines: Lines, at: int) -> Lines:
    """Insert a rule that nplconf would not write before one of its rules."""
    chain = lines[at].split()[1]
    return (
        [*lines[:at], f"-A {chain} -p tcp -m tcp --dport 61003 -m mark --mark 0x7 -j RETURN", *lines[at:]]
        if "NPL" in chain
        else lines
    )


def takes_all(lines: Lines, at: int) -> Lines:
    chain = lines[at].split()[1]
    return [*lines[:at], f"-A {chain} -p tcp -j RETURN", *lines[at:]] if chain.startswith("NPL") else lines


def lose_chain(lines: Lines, at: int) -> Lines:
    """With all that leads to it."""
    name = lines[at].split()[1]
    if not name.startswith("NPLCONF"):
        return lines
    gone = (f":{name}", f"-A {name} ")
    return [
        line
        for line in lines
        if not line.startswith(gone[1])
        and line.split()[0] != gone[0]
        and not line.endswith((f" -g {name}", f" -j {name}"))
    ]


def flush_chain(lines: Lines, at: int) -> Lines:
    name = lines[at].split()[1]
    return [line for line in lines if not line.startswith(f"-A {name} ")] if name.startswith("NPL") else lines


def orphan(lines: Lines, _at: int) -> Lines:
    declared = [":NPLCONF-TCP-EE4 -", ":NPLCONF-OLD -"]
    fresh = [line for line in declared if line not in lines]
    return [*fresh, *lines, "-A NPLCONF-OLD -p tcp -m tcp --dport 61009 -j RETURN"]


DAMAGES: tuple[Callable[[Lines, int], Lines], ...] = (
    lose,
    double,
    swap,
    to_front,
    forge,
    take_over,
    cut,
    stray,
    takes_all,
    lose_chain,
    flush_chain,
    orphan,
)


Mess = list[tuple[int, float]]
"""The kind of damage, and its place as a fraction of all rules of nplconf."""
MESSES = st.lists(st.tuples(st.integers(0, 99), st.floats(0, 1, exclude_max=True)), max_size=6)


def damage(here: World, family: Family, mess: Mess) -> None:
    """All that is done to the rules, one after the other."""
    if here.backend == "nftables":
        nftdamage.damage(here, family, mess)
        return
    lines = here.rules(family)
    for kind, place in mess:
        if where := own(lines):
            lines = DAMAGES[kind % len(DAMAGES)](lines, where[int(place * len(where))])
    put(here, family, lines)


def put(here: World, family: Family, lines: Lines) -> None:
    """Have the kernel take a table."""
    heads = [f"{line} [0:0]" for line in lines if line[0] == ":"]
    rules = [line for line in lines if line[0] == "-"]
    text = "\n".join(["*nat", *heads, *rules, "COMMIT", ""])
    program = f"{'iptables' if family == 'IPv4' else 'ip6tables'}-{here.iptables}-restore"
    done = here.run(program, text=text)
    assert done.returncode == 0, (done.stderr, text)


# --- the runs --------------------------------------------------------------------------------------------------------


WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=25, phases=WITHOUT_SHRINKING, suppress_health_check=[HealthCheck.too_slow])
@given(before=snapshots(), after=snapshots(), mess=MESSES, mess6=MESSES, lost=st.booleans())
def test_one_run_repairs_any_damage(
    runs: Runs, before: ClusterState, after: ClusterState, mess: Mess, mess6: Mess, *, lost: bool
) -> None:
    assert runs.apply(before).exit_code == 0
    damage(runs.world, "IPv4", mess)
    damage(runs.world, "IPv6", mess6)
    if lost:
        runs.forget_state()
    untouched = foreign.picture(runs.world)

    result = runs.apply(after)

    assert result.exit_code == 0, (result.failures, result.degraded)
    verified = runs.verify()
    assert verified.ok, verified
    again = runs.apply(after)
    assert (again.exit_code, again.done, again.patches) == (0, (), ())
    assert foreign.picture(runs.world) == untouched
    assert max(runs.seconds) < 10


@pytest.mark.parametrize("place", [0, 0.3, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("harm", nftdamage.DAMAGES, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("runs", ["nftables"], indirect=True)
def test_each_kind_of_damage_to_the_table_is_seen_and_repaired(
    runs: Runs, harm: nftdamage.Damage, place: float
) -> None:
    assert runs.apply(FULL).exit_code == 0
    before = runs.world.ours()
    harm(runs.world, "IPv4", place)
    assert runs.world.ours() != before

    assert not runs.verify().ok
    assert runs.apply(FULL).exit_code == 0

    assert runs.verify().ok
    # a tag that names another Pod's port leaves that Pod its choice of two numbers
    assert sorted(runs.world.ours()) == sorted(before) or harm is nftdamage.take_over


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("runs", IPTABLES, indirect=True)
def test_each_kind_of_damage_is_seen_and_repaired(runs: Runs, harm: Callable[[Lines, int], Lines]) -> None:
    assert runs.apply(FULL).exit_code == 0
    rules = runs.world.rules()
    damaged = next(lines for at in own(rules) if (lines := harm(rules, at)) != rules)
    put(runs.world, "IPv4", damaged)

    # chains that nothing leads to are not looked for where that would cost seconds in every run
    assert not runs.verify().ok or harm is orphan
    assert runs.apply(FULL).exit_code == 0

    assert runs.verify().ok
    # a tag that names another Pod's port leaves that Pod its choice of two numbers
    assert sorted(runs.world.rules()) == sorted(rules) or harm in (orphan, take_over)


# --- what else can happen to a node ----------------------------------------------------------------------------------


def test_flushed_rules_are_restored(runs: Runs) -> None:
    before = runs.apply(FULL).in_place
    flush(runs.world)

    assert not runs.verify().ok
    result = runs.apply(FULL)

    assert (result.exit_code, len(result.done), result.in_place) == (0, 16, before)
    assert {(change.action, change.reason) for change in result.done} == {("repair", "rule-missing")}
    assert runs.verify().ok
    foreign.settle_in(runs.world)


def flush(here: World) -> None:
    """All of the backend, as somebody does who begins anew."""
    if here.backend != "legacy":
        assert here.run("nft", "flush", "ruleset").returncode == 0
        return
    for family in FAMILIES:
        empty = "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n"
        program = f"{'iptables' if family == 'IPv4' else 'ip6tables'}-legacy-restore"
        assert here.run(program, text=empty).returncode == 0


@pytest.mark.parametrize("runs", IPTABLES, indirect=True)
def test_what_is_left_of_nplconf_in_the_other_backend_is_found_and_removed(runs: Runs) -> None:
    assert runs.apply(FULL).exit_code == 0
    other = "legacy" if runs.world.backend == "nft" else "nft"
    for family in FAMILIES:
        runs.world.restore(runs.world.run(save(runs.world, family), "-t", "nat").stdout, family, other)
    beside = [line for line in runs.world.rules("IPv4", backend=other) if not foreign.ours(line)]

    findings = {(finding.kind, finding.subject) for finding in runs.verify().findings}
    result = runs.apply(FULL)

    assert findings == {("backend", "IPv4"), ("backend", "IPv6")}
    assert (result.exit_code, result.done) == (0, ())
    assert any(f"the rules of nplconf in iptables-{other}" in warning for warning in result.warnings)
    assert runs.world.rules("IPv4", backend=other) == beside
    assert not any(foreign.ours(line) for line in runs.world.rules("IPv6", backend=other))
    assert runs.verify().ok


def save(here: World, family: Family) -> str:
    return f"{'iptables' if family == 'IPv4' else 'ip6tables'}-{here.backend}-save"
