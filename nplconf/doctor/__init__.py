"""`nplconf doctor`: checks of this node, each with the command that fixes what is wrong. Nothing is changed.

    checks/    one small module per subject: pure judgement over facts. How to add one is said there.
    facts/     what the node and the cluster say, read when a check first asks
    verdict    what a check is, and what it returns
    forward    which way a packet takes through filter tables of iptables, as text (pure)
    in_pod     what differs in the advice to a container (pure)
    native     the same for chains of nftables itself (pure)

May import everything below `cli` but `run`. One cause is reported once: a check whose facts could not be read because
of a problem that another check reports says "not checked" and names that check. It is never "ok" then.
"""

from collections.abc import Mapping

from nplconf.doctor.checks import every
from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.pod import pod
from nplconf.doctor.in_pod import adapted
from nplconf.doctor.verdict import Check, Verdict, warn
from nplconf.errors import NplconfError


def judge(facts: Facts) -> Mapping[str, Verdict]:
    """Return the verdict of every check that applies, by its name."""
    return {check.name: _judge(check, facts) for check in every() if check.applies(facts.settings)}


def _judge(check: Check, facts: Facts) -> Verdict:
    """Run one check; an error of its readers is no reason to lose the other checks."""
    try:
        found = check.judge(facts)
    except NplconfError as err:
        return warn(f"not checked: {err}", "nplconf doctor -v")
    around = facts.read(pod)
    return adapted(check.name, found, around.namespace, keeps=around.keeps) if around else found
