"""The text for one `iptables-restore --noflush` that turns what a family has into what it is to have."""

import re
from collections.abc import Sequence

from nplconf.rules.iptables.rule import Rule, to_text
from nplconf.rules.iptables.table import JUMPS, Table

FIRST = frozenset(("POSTROUTING",))
"""Base chains whose jump stands in front; the others' stand behind."""
_LINE = re.compile(r"[ -~]+")


def transaction(want: Table | None, have: Table, *, sweep: bool = True) -> str:
    """Only the chains that differ are written again; "" when none does.

    A chain declared as `:NAME - [0:0]` is made, or emptied, inside the transaction. Chains that are no longer wanted
    are emptied so, and deleted at the end, when nothing leads to them any more; without sweep they stay, empty. want
    None removes all that is ours. Raises ValueError for a rule that may not be written.
    """
    wanted = want.chains if want else {}
    written = [name for name, rules in wanted.items() if have.chains.get(name) != rules]
    gone = obsolete(want, have)
    jumps = _jumps(want, have)
    if not written and not gone and not jumps:
        return ""
    lines = ["*nat"]
    lines += (f":{name} - [0:0]" for name in (*written, *gone))
    lines += (line for line in jumps if line.startswith("-D"))
    for name in written:
        lines += (f"-A {name} {to_text(rule)}" for rule in wanted[name] if isinstance(rule, Rule))
    lines += (line for line in jumps if not line.startswith("-D"))
    if sweep:  # in any order: all of them are empty by now
        lines += (f"-X {name}" for name in gone)
    return "\n".join((*lines, "COMMIT", ""))


def obsolete(want: Table | None, have: Table) -> list[str]:
    """The chains that are no longer wanted, sorted."""
    return sorted(have.chains.keys() - (want.chains.keys() if want else ()))


def removal(chains: Sequence[str]) -> str:
    """The text that deletes chains which are empty."""
    return "\n".join(("*nat", *(f"-X {name}" for name in chains), "COMMIT", ""))


def _jumps(want: Table | None, have: Table) -> list[str]:
    """Each wrong jump goes by its exact text, once per duplicate; then the right one comes."""
    lines = []
    for name, base in have.bases.items():
        if want and base.place == "right":
            continue
        # a text that is more than one printable line can be deleted by nobody who does not count rules
        lines += [f"-D {name} {text}" for text in base.jumps if _LINE.fullmatch(text)]
        if want and name in JUMPS:
            lines.append(f"-I {name} 1 {JUMPS[name]}" if name in FIRST else f"-A {name} {JUMPS[name]}")
    return lines
