"""The input of one `iptables-restore --noflush` that changes a family's rules to the wanted ones."""

import re
from collections.abc import Sequence

from nplconf.rules.iptables.rule import Rule, to_text
from nplconf.rules.iptables.table import JUMPS, NatTable

FIRST = frozenset(("POSTROUTING",))
"""Base chains whose jump is the first rule. In the others it is the last."""
_LINE = re.compile(r"[ -~]+")


def transaction(want: NatTable | None, have: NatTable, *, sweep: bool = True) -> str:
    """Return the text that writes the chains that differ; "" if none does.

    A chain declared as `:NAME - [0:0]` is created, or emptied, inside the transaction. Obsolete chains are emptied this
    way, and deleted at the end, when no rule leads to them any more.

    Args:
        want: The wanted table; None removes everything of nplconf.
        have: The table as read.
        sweep: Delete obsolete chains. Otherwise they stay, empty.

    Raises:
        ValueError: A rule is outside the grammar.
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
    if sweep:  # in any order: all of them are empty here
        lines += (f"-X {name}" for name in gone)
    return "\n".join((*lines, "COMMIT", ""))


def obsolete(want: NatTable | None, have: NatTable) -> list[str]:
    """Return the chains that are no longer wanted, sorted."""
    return sorted(have.chains.keys() - (want.chains.keys() if want else ()))


def removal(chains: Sequence[str]) -> str:
    """Return the text that deletes empty chains."""
    return "\n".join(("*nat", *(f"-X {name}" for name in chains), "COMMIT", ""))


def _jumps(want: NatTable | None, have: NatTable) -> list[str]:
    """Yield the deletion of each wrong jump by its exact text, once per duplicate, then the right jump."""
    lines = []
    for name, base in have.bases.items():
        if want and base.place == "right":
            continue
        # a rule whose text has a line break or control character cannot be deleted by its text
        lines += [f"-D {name} {text}" for text in base.jumps if _LINE.fullmatch(text)]
        if want and name in JUMPS:
            lines.append(f"-I {name} 1 {JUMPS[name]}" if name in FIRST else f"-A {name} {JUMPS[name]}")
    return lines
