"""Check `antrea`: no Antrea agent does the same work, and none has left its rules."""

import contextlib
import shlex
from pathlib import Path
from typing import NamedTuple

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.kernel import DEADLINE
from nplconf.doctor.facts.netfilter import blind
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.errors import NplconfError
from nplconf.model import FAMILIES, Family, IptablesKind
from nplconf.node import backend, command

AGENT = "antrea-agent"
CHAIN = "ANTREA-NODE-PORT-LOCAL"


class Antrea(NamedTuple):
    """runs: a process of the agent. removal: commands that delete its NodePortLocal chain; "" where there is none."""

    runs: bool
    removal: str


def agent(facts: Facts) -> Antrea | Unknown:
    """Return what there is of Antrea."""
    if unknown := facts.read(blind):
        return unknown
    runs = any(_is_agent(process) for process in Path("/proc").glob("[0-9]*/comm"))
    places = [(family, kind) for kind in backend.installed() for family in FAMILIES]
    return Antrea(runs, " && ".join(removal for place in places for removal in _removal(*place)))


def _is_agent(comm: Path) -> bool:
    with contextlib.suppress(OSError):
        return comm.read_text(encoding="utf-8", errors="replace").strip() == AGENT
    return False


def _removal(family: Family, kind: IptablesKind) -> list[str]:
    """Return one command for each jump to the chain, and two for the chain itself."""
    with contextlib.suppress(NplconfError):
        if kind == "legacy" and not backend.legacy_has("nat", family):
            return []
        question = f"*nat\n-S {CHAIN}\n-S PREROUTING\n-S OUTPUT\nCOMMIT\n"
        done = command.run(backend.program(family, kind, "restore"), "--noflush", text=question, deadline=DEADLINE)
        lines = done.text.splitlines()
        if done.code == 0 and f"-N {CHAIN}" in lines:
            jumps = [line for line in lines if line.startswith("-A ") and line.endswith(f" -j {CHAIN}")]
            call = f"{backend.program(family, kind, 'save').removesuffix('-save')} -t nat"
            rest = [f"{call} -F {CHAIN}", f"{call} -X {CHAIN}"]
            return [*(f"{call} -D {_for_a_shell(line.removeprefix('-A '))}" for line in jumps), *rest]
    return []


def _for_a_shell(rule: str) -> str:
    """Return a rule as shells read it: iptables escapes apostrophes within quotes, which shells do not."""
    return shlex.join(shlex.split(rule.replace("\\'", "'")))


def antrea(facts: Facts) -> Verdict:
    """NodePortLocal of Antrea is off, and has left no rule."""
    found = facts.read(agent)
    if isinstance(found, Unknown):
        return unchecked(found)
    runs, removal = found
    if runs and removal:
        message = "an Antrea agent with NodePortLocal runs here: both would write the same annotation"
        return fail(message, "kubectl -n kube-system edit configmap antrea-config  # nodePortLocal.enable: false")
    if removal:
        return warn("an Antrea agent that no longer runs has left its NodePortLocal rules", removal)
    return ok("an Antrea agent without NodePortLocal" if runs else "no Antrea agent")


CHECKS = (Check("antrea", 150, antrea),)
