"""Kinds of damage to nplconf's nftables table, each done with nft on a node."""

import re
from collections.abc import Callable

from netns import World

from nplconf.model import Family

TABLE = "inet nplconf"
CHAINS = ("prerouting", "output", "postrouting", "dispatch")
Damage = Callable[[World, Family, float], None]
"""place: where it is done, as a part of all places there are."""


def _pick(options: list[str], place: float) -> str:
    return options[int(place * len(options))]


def _chain(family: Family, place: float) -> str:
    return _pick([*CHAINS, f"dispatch-{family.lower()}", f"source-{family.lower()}"], place)


def _elements(here: World, name: str) -> list[str]:
    """The elements of a set or map, as nft lists them."""
    kind = "set" if name.startswith(("addresses", "published", "hairpin")) else "map"
    text = here.run("nft", "list", kind, *TABLE.split(), name).stdout
    listed = re.search(r"elements = \{ (.*?) \}", text, re.DOTALL)
    return re.split(r",\s+", listed[1]) if listed else []


def _rows(here: World, family: Family) -> list[tuple[str, str]]:
    """The maps of a family with each of their elements."""
    names = [f"{protocol}-{family.lower()}" for protocol in ("tcp", "udp")]
    return [(name, element) for name in names for element in _elements(here, name)]


def _change(here: World, family: Family, place: float, pattern: str, new: str) -> None:
    rows = _rows(here, family)
    if rows:
        name, element = rows[int(place * len(rows))]
        here.nft(
            f"delete element {TABLE} {name} {{ {element.split()[0]} }}",
            f"add element {TABLE} {name} {{ {re.sub(pattern, new, element)} }}",
        )


def lose(here: World, family: Family, place: float) -> None:
    """An element of any set."""
    sets = [f"{kind}-{family.lower()}" for kind in ("addresses", "published", "hairpin")]
    there = [*_rows(here, family), *((name, element) for name in sets for element in _elements(here, name))]
    if there:
        name, element = there[int(place * len(there))]
        here.nft(f"delete element {TABLE} {name} {{ {element.split(' comment')[0]} }}")


def forge(here: World, family: Family, place: float) -> None:
    _change(here, family, place, 'nplconf:[^ "]*', "nplconf:kube-system/evil:80:u0")


def take_over(here: World, family: Family, place: float) -> None:
    _change(here, family, place, 'nplconf:[^ "]*', "nplconf:shop/web-0:80:u0")


def cut(here: World, family: Family, place: float) -> None:
    _change(here, family, place, 'nplconf:[^ "]*', "nplconf:shop/we")


def retarget(here: World, family: Family, place: float) -> None:
    _change(here, family, place, r" : \S+ \. ", f" : {'10.9.9.9' if family == 'IPv4' else 'fd00:9::9'} . ")


def uncomment(here: World, family: Family, place: float) -> None:
    _change(here, family, place, ' comment "[^"]*"', "")


def stray(here: World, family: Family, place: float) -> None:
    """An element that nplconf never writes, in a map or a set."""
    address = "10.9.9.9" if family == "IPv4" else "fd00:9::9"
    elements = [
        f"tcp-{family.lower()} {{ 61014 : {address} . 80 }}",
        f"udp-{family.lower()}-restricted {{ 61014 : {address} . 80 }}",
        f'addresses-{family.lower()} {{ {address} comment "mine, too" }}',
        f"bridged-{family.lower()} {{ {address} . {address} }}",
        f"tcp-{family.lower()}-sources {{ {address} . 61014 }}",
    ]
    here.nft(f"add element {TABLE} {_pick(elements, place)}")


def takes_all(here: World, family: Family, place: float) -> None:
    here.nft(f"insert rule {TABLE} {_chain(family, place)} meta l4proto tcp accept")


def lose_rule(here: World, family: Family, place: float) -> None:
    chain = _chain(family, place)
    listed = here.run("nft", "--handle", "list", "chain", *TABLE.split(), chain).stdout
    handles = re.findall(r"^\t\t(?!type).*# handle (\d+)$", listed, re.MULTILINE)
    if handles:
        here.nft(f"delete rule {TABLE} {chain} handle {_pick(handles, place)}")


def flush_chain(here: World, family: Family, place: float) -> None:
    here.nft(f"flush chain {TABLE} {_chain(family, place)}")


def lose_base(here: World, _family: Family, place: float) -> None:
    chain = _pick(list(CHAINS[:3]), place)
    here.nft(f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}")


def other_priority(here: World, _family: Family, place: float) -> None:
    hook = _pick(["prerouting", "output"], place)
    here.nft(
        f"flush chain {TABLE} {hook}",
        f"delete chain {TABLE} {hook}",
        f"add chain {TABLE} {hook} {{ type nat hook {hook} priority 0; }}",
        f"add rule {TABLE} {hook} jump dispatch",
    )


def another_object(here: World, _family: Family, place: float) -> None:
    chain, counter = f"add chain {TABLE} other", f"add counter {TABLE} other"
    here.nft(_pick([chain, counter, f"add set {TABLE} other {{ type mark; }}"], place))


def dormant(here: World, _family: Family, _place: float) -> None:
    here.nft(f"add table {TABLE} {{ flags dormant; }}")


def flush_table(here: World, _family: Family, _place: float) -> None:
    here.nft(f"flush table {TABLE}")


def delete_table(here: World, _family: Family, _place: float) -> None:
    here.nft(f"delete table {TABLE}")


DAMAGES: tuple[Damage, ...] = (
    lose,
    forge,
    take_over,
    cut,
    retarget,
    uncomment,
    stray,
    takes_all,
    lose_rule,
    flush_chain,
    lose_base,
    other_priority,
    another_object,
    dormant,
    flush_table,
    delete_table,
)


def damage(here: World, family: Family, mess: list[tuple[int, float]]) -> None:
    """All that is done to the table, one after the other; what cannot be done any more is left out."""
    for kind, place in mess:
        try:
            DAMAGES[kind % len(DAMAGES)](here, family, place)
        except AssertionError:
            continue
