"""The input of one `iptables-restore --noflush` that changes a family's rules to the wanted ones."""

import re
from collections.abc import Sequence

from nplconf.rules.iptables.rule import Rule, to_text
from nplconf.rules.iptables.table import JUMPS, NatTable, Rules

FIRST = frozenset(("POSTROUTING",))
"""Base chains whose jump is the first rule. In the others it is the last."""
_LINE = re.compile(r"[ -~]+")


def transaction(want: NatTable | None, have: NatTable, *, insert: bool = True, sweep: bool = True) -> str:
    """Return the text that writes the chains that differ; "" if none does.

    A chain declared as `:NAME - [0:0]` is created, or emptied, inside the transaction. Obsolete chains are emptied this
    way, and deleted at the end, when no rule leads to them any more. A chain that only lacks rules is not emptied; they
    are inserted. If any rule is removed, iptables-nft-restore ends 8 to 15 ms later: the kernel waits for the packets
    that may still use it.

    Args:
        want: The wanted table; None removes everything of nplconf.
        have: The table as read.
        insert: Insert rules by their places, which may have changed since. Otherwise each chain is emptied first.
        sweep: Delete obsolete chains. Otherwise they stay, empty.

    Raises:
        ValueError: A rule is outside the grammar.
    """
    wanted = want.chains if want else {}
    written = {name: rules for name, rules in wanted.items() if have.chains.get(name) != rules}
    kept = {name: have.chains[name] for name in written if insert and name in have.chains}
    inserted = {name: lines for name, rules in kept.items() if (lines := _inserted(name, rules, written[name]))}
    gone = obsolete(want, have)
    jumps = _jumps(want, have)
    if not written and not gone and not jumps:
        return ""
    lines = ["*nat"]
    lines += (f":{name} - [0:0]" for name in (*written, *gone) if name not in inserted)
    lines += (line for line in jumps if line.startswith("-D"))
    for name, rules in written.items():
        lines += inserted.get(name) or (f"-A {name} {to_text(rule)}" for rule in rules if isinstance(rule, Rule))
    lines += (line for line in jumps if not line.startswith("-D"))
    if sweep:  # in any order: all of them are empty here
        lines += (f"-X {name}" for name in gone)
    return "\n".join((*lines, "COMMIT", ""))


def _inserted(name: str, have: Rules, want: Rules) -> list[str]:
    """Return the lines that insert the rules which a chain lacks; none if a rule must go, too.

    The last place comes first, so that each place is that of a rule which was there before: old versions of
    iptables-nft-restore know no place behind a rule that the same transaction has inserted.
    """
    lacking, there = [], 0
    for rule in want:
        if have[there : there + 1] == (rule,):
            there += 1
        elif isinstance(rule, Rule):
            lacking.append((there, rule))
    if there < len(have):
        return []
    inserted = [f"-I {name} {place + 1} {to_text(rule)}" for place, rule in lacking if place < there]
    appended = [f"-A {name} {to_text(rule)}" for place, rule in lacking if place == there]
    return [*reversed(inserted), *appended]


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
