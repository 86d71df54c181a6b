"""Check `antrea`: no Antrea agent does the same work, and none has left its rules."""

import shlex

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.netfilter import blind, live
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.model import LiveRule
from nplconf.node import antrea as machine
from nplconf.node import backend
from nplconf.rules.antrea import CHAIN, DISABLE, Antrea, AntreaChain


def agent(facts: Facts) -> Antrea | Unknown:
    """Return what there is of Antrea."""
    return facts.read(blind) or machine.found()


def antrea(facts: Facts) -> Verdict:
    """NodePortLocal of Antrea is off, and has left no rule."""
    found = facts.read(agent)
    if isinstance(found, Unknown):
        return unchecked(found)
    if found.lives:
        message = f"an Antrea agent with NodePortLocal runs here ({found.signs}): both would write the same annotation"
        return fail(message, f"{DISABLE}, restart the agent, then: nplconf adopt")
    if found.chains:
        places = ", ".join(chain.place for chain in found.chains)
        return warn(
            f"an Antrea agent that no longer runs has left its NodePortLocal rules ({places})", _fix(found, facts)
        )
    return ok("no Antrea agent with NodePortLocal")


def _fix(found: Antrea, facts: Facts) -> str:
    """Return the command that removes the rules; before the rules of nplconf are in place, connections would fail."""
    served = {_leads(rule) for rule in facts.read(live).rules}
    removal = " && ".join(command for chain in found.chains for command in _removal(chain))
    if all((r.number, r.family, r.protocol, r.address, r.port) in served for r in found.rules):
        return removal
    return f"nplconf adopt  # or: nplconf apply, and when its rules are in place: {removal}"


def _leads(rule: LiveRule) -> tuple[int, str, str, str, int]:
    return *rule.key, rule.pod_ip, rule.pod_port


def _removal(chain: AntreaChain) -> list[str]:
    """Return one command for each jump to the chain, and two for the chain itself."""
    call = f"{backend.program(chain.family, chain.kind, 'save').removesuffix('-save')} -t nat"
    return [*(f"{call} -D {_for_a_shell(jump)}" for jump in chain.jumps), f"{call} -F {CHAIN}", f"{call} -X {CHAIN}"]


def _for_a_shell(rule: str) -> str:
    """Return a rule as shells read it: iptables escapes apostrophes within quotes, which shells do not."""
    return shlex.join(shlex.split(rule.replace("\\'", "'")))


CHECKS = (Check("antrea", 150, antrea),)
