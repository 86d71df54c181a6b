"""The input of one transaction, for both families, that changes the table to the wanted one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nplconf.rules.nftables import element
from nplconf.rules.nftables.element import Elements
from nplconf.rules.nftables.frame import TABLE, frame
from nplconf.rules.nftables.table import NftTable

REMOVAL = f"add table {TABLE}\ndelete table {TABLE}\n"
"""Removes the table, whether it exists or not."""
Pair = tuple[NftTable, NftTable | None]


def transaction(pairs: Sequence[Pair]) -> str:
    """Return the text that changes families to the wanted tables; "" if nothing differs.

    Args:
        pairs: For each family to write, the table as read and the wanted one (None: nothing).

    Raises:
        ValueError: An element is outside the grammar.
    """
    if not pairs:
        return ""
    if all(want is None for _, want in pairs) and (len(pairs) > 1 or pairs[0][0].alone):
        return REMOVAL if pairs[0][0].frame else ""
    if any(have.frame != frame() for have, _ in pairs):
        return _anew(pairs)
    return "".join(line for have, want in pairs for line in _changes(have, want))


def _anew(pairs: Sequence[Pair]) -> str:
    """Yield the whole table. It is deleted and added in one transaction, so it serves packets all the time."""
    lines = [REMOVAL, f"add table {TABLE} {{ {'; '.join(frame()[''])}; }}\n"]
    lines += _frame()
    for have, want in pairs:
        wanted = [*(want.sets if want else {}).items(), *(have.rest.items() if len(pairs) == 1 else ())]
        lines += (line for name, elements in wanted for line in _add(name, elements, elements))
    return "".join(lines)


def _frame() -> Iterator[str]:
    objects = [(name.split(" "), lines) for name, lines in frame().items() if name]
    for (kind, name), lines in objects:
        first = lines if kind != "chain" else lines[:1] if lines[0].startswith("type ") else ()
        yield f"add {kind} {TABLE} {name} {{ {' '.join(line.rstrip(';') + ';' for line in first)} }}\n"
    for (kind, name), lines in objects:
        if kind == "chain":
            yield from (f"add rule {TABLE} {name} {line}\n" for line in lines if not line.startswith("type "))


def changed_keys(have: NftTable, want: NftTable) -> dict[str, set[str]]:
    """Return the keys of one family's elements that differ from the wanted ones, by name of their set."""
    return {one.name: {*one.gone, *one.new} for one in _differences(have, want)}


class _Difference(NamedTuple):
    """A set with other elements than the wanted ones. An element with another value goes and comes.

    Attributes:
        name: Its name.
        gone: The keys of the elements that go.
        new: The keys of the elements that come.

    """

    name: str
    gone: Sequence[str]
    new: Sequence[str]


def _differences(have: NftTable, want: NftTable | None) -> Iterator[_Difference]:
    """Yield each set that differs, of those that nplconf alone has written."""
    origin = want.origin if want and want.origin and want.origin.sets is have.sets else None
    for name in have.sets if origin is None else origin.changed:
        there, wanted = have.sets[name], want.sets[name] if want else {}
        if name not in have.unknown and there != wanted:
            among = None if origin is None else origin.changed[name]
            yield _Difference(name, _apart(there, wanted, among), _apart(wanted, there, among))


def _apart(elements: Elements, others: Elements, among: Iterable[str] | None) -> list[str]:
    """Return the keys of elements that others lack or have with another value. among: those to look at; None: all."""
    doubtful = elements if among is None else filter(elements.__contains__, among)
    return [key for key in doubtful if others.get(key) != elements[key]]


def _changes(have: NftTable, want: NftTable | None) -> Iterator[str]:
    """Yield the changed elements. One with another value is deleted and added, since nft does not replace it."""
    for name in filter(have.unknown.__contains__, have.sets):
        wanted = want.sets[name] if want else {}
        yield f"flush {'map' if f'map {name}' in frame() else 'set'} {TABLE} {name}\n"
        yield from _add(name, wanted, wanted)
    for name, gone, new in _differences(have, want):
        # sorted: the kernel lists elements in any order
        yield from _command("delete", name, map(element.key_to_text, sorted(gone, key=lambda key: (len(key), key))))
        yield from _add(name, want.sets[name] if want else {}, new)


def _add(name: str, elements: Elements, keys: Iterable[str]) -> Iterator[str]:
    return _command("add", name, (element.to_text(key, elements[key]) for key in keys))


def _command(verb: str, name: str, texts: Iterable[str]) -> Iterator[str]:
    listed = ",\n".join(texts)
    if listed:
        yield f"{verb} element {TABLE} {name} {{\n{listed}\n}}\n"
