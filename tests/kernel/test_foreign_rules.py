"""Foreign rules stay unchanged byte by byte, and what they did to nplconf's chains is repaired."""

import random
import re

import foreign
import pytest
from netns import IPTABLES, World
from runs import FULL, Runs
from worlds import cluster, node, pod, service

from nplconf.model import FAMILIES, ClusterState
from nplconf.rules.iptables.rule import Rule, parse

pytestmark = pytest.mark.kernel
ONLY_IPTABLES = pytest.mark.parametrize("runs", IPTABLES, indirect=True)
"""No rule of another nftables table can jump to a chain of nplconf."""


@ONLY_IPTABLES
@pytest.mark.parametrize("fewer", [1, 0])
def test_a_foreign_rule_that_leads_into_a_chain_of_nplconf_keeps_nothing_else_out(runs: Runs, fewer: int) -> None:
    """A chain that is used cannot be deleted, and the transaction that would delete it must not fail for that."""
    assert runs.apply(FULL).exit_code == 0
    leaves = sorted({line.split()[1] for line in runs.world.ours() if "DNAT --to" in line})
    for leaf in leaves:
        runs.world.restore(f"*nat\n-A KUBE-NODEPORTS -p tcp -j {leaf}\nCOMMIT\n")
    strangers = [line for line in runs.world.rules() if line.startswith("-A KUBE-NODEPORTS -p tcp -j NPL")]
    others = [pod(f"web-{9 + i}", (f"10.244.9.{i}", f"fd00:244::99{i}")) for i in range(fewer)]

    result = runs.apply(cluster(FULL.nodes[0], *others, FULL.services[0]))

    assert len(result.in_place) == 4 * fewer
    assert {str(rule.to) for rule in dnats(runs.world)} == {f"10.244.9.0:{port}" for port in (80, 53)[: 2 * fewer]}
    assert [line for line in runs.world.rules() if line in strangers] == strangers
    used = {line.split()[1] for line in runs.world.ours() if "DNAT --to" in line}
    stuck = [leaf for leaf in leaves if leaf not in used]
    assert stuck
    assert result.exit_code == 5
    (failure,) = result.failures
    assert (failure.subject, runs.seconds[-1] < 5) == ("IPv4", True)
    assert f"a foreign rule leads to {', '.join(stuck)}, which cannot be deleted" in failure.message
    # of nplconf's obsolete chains only these remain
    kept = {line[1:-2] for line in runs.world.ours() if re.match(r":NPLCONF-(TCP|UDP)-EE\d", line)}
    assert kept == used | set(stuck)
    for leaf in leaves:
        runs.world.restore(f"*nat\n-D KUBE-NODEPORTS -p tcp -j {leaf}\nCOMMIT\n")
    assert runs.apply(FULL).exit_code == 0
    assert runs.verify().ok


STRANGE = (
    "-A PREROUTING -p tcp -j NPLCONF",
    "-A OUTPUT -g NPLCONF",
    '-A PREROUTING -m comment --comment "said \\"so\\"" -j NPLCONF-TCP',
    "-A POSTROUTING -j NPLCONF-POST",
    "-A PREROUTING ! -p tcp -j NPLCONF-UDP",
    ":NPLCONF-MADE-UP - [0:0]\n-A NPLCONF-MADE-UP -j NPLCONF-TCP\n-I NPLCONF 1 -j NPLCONF-MADE-UP",
    ":NPLCONF-A - [0:0]\n:NPLCONF-B - [0:0]\n-A NPLCONF-A -j NPLCONF-B",
    "-A PREROUTING -j NPLCONF-A\n-A INPUT -j NPLCONF-B",
    '-I NPLCONF 1 -j LOG --log-prefix "ours "',
    "-I NPLCONF 1 -p tcp -j ACCEPT",
    "-I NPLCONF-TCP 1 -j DOCKER",
    "-A NPLCONF-INDEX -g DOCKER",
    "-A NPLCONF-UDP -p udp -m udp --dport 61003 -j REDIRECT --to-ports 53",
)
"""Jumps to nplconf's chains, chains that it never created, and rules in its chains that it would not write."""


@ONLY_IPTABLES
@pytest.mark.parametrize("after", [FULL, cluster(node())], ids=["all", "none"])
def test_one_run_removes_every_foreign_rule_in_and_before_our_chains(runs: Runs, after: ClusterState) -> None:
    def place(line: str) -> str:
        """Nplconf removes jumps to its chains from a base chain, as from INPUT."""
        return "" if re.match(r"-A (PREROUTING|INPUT|OUTPUT|POSTROUTING) .*-[jg] NPLCONF(-[A-Z]+)?\Z", line) else line

    assert runs.apply(FULL).exit_code == 0
    before = foreign.picture(runs.world)
    for family in FAMILIES:
        runs.world.restore("\n".join(("*nat", *STRANGE, "COMMIT", "")), family)
    strange = {table: [line for line in lines if place(line)] for table, lines in foreign.picture(runs.world).items()}
    assert strange == before, "all that is new is in our chains or leads to them"
    assert not runs.verify().ok
    runs.forget_state()

    assert runs.apply(after).exit_code == 0

    assert runs.verify().ok
    assert foreign.picture(runs.world) == before
    made_up = (":NPLCONF-MADE-UP", ":NPLCONF-A ", ":NPLCONF-B ")
    assert not any(line.startswith(made_up) for line in runs.world.ours())
    assert (runs.apply(after).exit_code, runs.apply(after).done) == (0, ())


def dnats(here: World) -> list[Rule]:
    rules = (parse(line.split(" ", 2)[2]) for line in here.ours() if line.startswith("-A NPLCONF"))
    return [rule for rule in rules if isinstance(rule, Rule) and rule.to]


def test_fifty_random_applies_leave_every_foreign_line_as_it_was(runs: Runs) -> None:
    chance = random.Random(6281)
    before = foreign.picture(runs.world)
    assert sum(map(len, before.values())) > 100
    for turn in range(50):
        pods = [
            pod(f"web-{i}", (f"10.244.0.{i}", f"fd00:244::{i:x}"))
            for i in chance.sample(range(1, 7), chance.randint(0, 6))
        ]
        families = chance.choice([("IPv4",), ("IPv6",), ("IPv4", "IPv6")])
        asked = chance.sample([(80, "TCP"), (80, "UDP"), (53, "UDP")], chance.randint(0, 3))
        assert runs.apply(cluster(node(), *pods, service("web", asked, families=families))).exit_code == 0
        assert turn % 10 < 9 or foreign.picture(runs.world) == before
