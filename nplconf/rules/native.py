"""Native nftables rules that take packets to mapped ports first, from the JSON that nft prints. Pure.

Only a translation or a drop counts: until a packet is translated, the kernel goes on to the next base chain of type
nat. Conditions that cannot be judged are treated as in `iptables/taking.py`: a rule that names a port of the range
counts, whatever else it matches. A rule that names none counts only if it takes every packet from outside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nplconf.model import Family, PortRange
from nplconf.rules.foreign import ForeignRule, Network
from nplconf.rules.reach import Reach, only, outside, to, within, without

Known = Mapping[str, Sequence[Any]]
"""What was read of a table: "chain NAME" -> the expressions of each rule; "set NAME", "map NAME" -> its elements."""
DEPTH = 8
_WORDS: Mapping[Family, str] = {"IPv4": "ip", "IPv6": "ip6"}
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp", "tcp": "tcp", "udp": "udp", "sctp": "sctp"}
_NO_CONDITION = frozenset(("counter", "log", "comment", "mangle", "notrack", "meta", "ct helper", "quota", "flow"))
_TRANSLATES = ("dnat", "redirect", "drop", "reject")
_OUT_DEVICE = ({"key": "oif"}, {"key": "oifname"})
_XT_TRANSLATES = ("DNAT", "REDIRECT", "NETMAP")


class BaseChain(NamedTuple):
    """A base chain.

    Attributes:
        kind: nft's name of the table's family (ip, ip6, inet).
        local: It sees the packets that the node itself sends.
        until: The chain of nplconf to which the base chain jumps. Packets that reach it are not taken.
    """

    kind: str
    table: str
    chain: str
    local: bool = False
    until: str = ""


class NativeTaking(NamedTuple):
    """The result of a walk. unknown: what must be read for an answer, as in `Known`."""

    rules: tuple[ForeignRule, ...]
    unknown: frozenset[str]


def taking(known: Known, base: BaseChain, ports: PortRange) -> NativeTaking:
    """Return the rules that take packets to a port range, starting from a base chain.

    Args:
        known: What was read so far.
        base: The base chain.
        ports: The port range of this node.
    """
    found: list[ForeignRule] = []
    unknown: set[str] = set()
    for family, word in _WORDS.items():
        if base.kind in (word, "inet"):
            walk = _Walk(known, base, family)
            walk.chain(base.chain, to(ports), 0)
            found += walk.found
            unknown |= walk.unknown
    return NativeTaking(tuple(found), frozenset(unknown))


class _Walk:
    """The traversal of a table by one family's packets."""

    def __init__(self, known: Known, base: BaseChain, family: Family) -> None:
        self.found: list[ForeignRule] = []
        self.unknown: set[str] = set()
        self._known, self._base, self._family = known, base, family

    def chain(self, name: str, reach: Reach, depth: int) -> None:
        rules = self._read(f"chain {name}")
        for parts in rules if depth < DEPTH else ():
            for left in self._rule(name, parts, reach, depth):
                reach = left
            if not reach.ports:
                return

    def _read(self, what: str) -> Sequence[Any]:
        if what not in self._known:
            self.unknown.add(what)
        return self._known.get(what, ())

    def _rule(self, chain: str, parts: Sequence[Mapping[str, Any]], reach: Reach, depth: int) -> Iterator[Reach]:
        """Follow a rule. Yield the packets that go on to the next rule, if they are fewer than those that came."""
        hits = [reach]
        for part in parts:
            kind, value = _first(part)
            if kind == "match":
                hits = [hit for one in hits for hit in self._matches(one, value)]
            elif kind == "vmap":
                pairs = [pair for one in hits for pair in self._pairs(one, value)]
                hits = [hit for hit, verdict in pairs for _ in self._verdict(chain, verdict, hit, parts, depth)]
                yield from _left(reach, hits)
                return
            elif kind in _TRANSLATES or kind in ("accept", "return", "jump", "goto") or _is_xt_target(kind, value):
                done = [hit for one in hits for hit in self._verdict(chain, part, one, parts, depth)]
                yield from _left(reach, done)
                return
            elif kind not in _NO_CONDITION:
                hits = [hit._replace(sure=False) for hit in hits]

    def _verdict(
        self, chain: str, verdict: Mapping[str, Any], reach: Reach, parts: Sequence[Any], depth: int
    ) -> Iterator[Reach]:
        """Follow a verdict. Yield the packets that do not reach the next rule."""
        kind, value = _first(verdict)
        if kind in _TRANSLATES or kind == "xt":
            for hit in self._translated(reach, value):
                self._take(chain, hit, parts)
                yield hit
        elif kind in ("jump", "goto"):
            ends = value.get("target") == self._base.until
            if not ends:
                self.chain(str(value.get("target", "")), reach, depth + 1)
            yield from [reach] if kind == "goto" or ends else []
        elif kind in ("accept", "return"):
            if self._base.until and (
                kind == "accept" or depth == 0
            ):  # they end the base chain before the jump of nplconf
                self._take(chain, reach, parts)
            yield reach

    def _translated(self, reach: Reach, value: Any) -> Iterator[Reach]:
        """Yield the packets of a translation: all, or those with a key in its map."""
        address = value.get("addr", value.get("port")) if isinstance(value, dict) else None
        if isinstance(address, dict) and "map" in address:
            yield from (hit for hit, _ in self._pairs(reach, address["map"]))
        else:
            yield reach

    def _take(self, chain: str, reach: Reach, parts: Sequence[Any]) -> None:
        if reach.sure or reach.named:
            place = f"nft {self._base.kind} {self._base.table} {chain}"
            text = _text(parts)
            self.found += (
                ForeignRule(self._family, *ports, place, text, reach.destinations, local=self._base.local)
                for ports in reach.ports
            )

    # --- conditions

    def _matches(self, reach: Reach, match: Mapping[str, Any]) -> Iterator[Reach]:
        left, right, negated = match.get("left"), match.get("right"), match.get("op") == "!="
        values = self._values(right)
        if negated:
            for value in values:
                narrowed = self._narrowed(reach, left, value, negated=True)
                if narrowed is None:
                    return
                reach = narrowed
            yield reach
            return
        hits = (self._narrowed(reach, left, value, negated=False) for value in values)
        yield from (hit for hit in hits if hit and hit.ports)

    def _pairs(self, reach: Reach, value: Mapping[str, Any]) -> Iterator[tuple[Reach, Mapping[str, Any]]]:
        """Yield the packets of each element in a map, with the element's data."""
        for element in self._values(value.get("data"), "map"):
            if isinstance(element, list) and len(element) == 2:
                hit = self._narrowed(reach, value.get("key"), _bare(element[0]), negated=False)
                if hit and hit.ports:
                    yield hit, element[1] if isinstance(element[1], dict) else {}

    def _values(self, right: Any, kind: str = "set") -> Iterable[Any]:
        if isinstance(right, str) and right.startswith("@"):
            return [_bare(element) for element in self._read(f"{kind} {right[1:]}")]
        if isinstance(right, dict) and isinstance(right.get("set"), list):
            return [_bare(element) for element in right["set"]]
        return right if isinstance(right, list) else [right]

    def _narrowed(self, reach: Reach, left: Any, value: Any, *, negated: bool) -> Reach | None:
        """Return the part of a reach with this value in a field; None if it is empty."""
        if isinstance(left, dict) and "concat" in left:
            values = value.get("concat", ()) if isinstance(value, dict) else ()
            for field, part in zip(left["concat"], values, strict=False):
                narrowed = self._narrowed(reach, field, part, negated=negated)
                if narrowed is None:
                    return None
                reach = narrowed
            return reach
        if self._base.local and isinstance(left, dict) and left.get("meta") in _OUT_DEVICE:
            return None if (value == "lo") == negated else reach  # a packet from the node to itself leaves by lo
        return _narrowed(reach, left if isinstance(left, dict) else {}, value, self._family, negated=negated)


def _left(reach: Reach, gone: Iterable[Reach]) -> Iterator[Reach]:
    """Yield the packets that go on to the next rule after `gone` have left the chain."""
    for hit in gone:
        if hit.sure == reach.sure:
            reach = without(reach, hit)
    yield reach


def _first(part: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the name and the content of an expression."""
    return next(iter(part.items()), ("", None))


def _is_xt_target(kind: str, value: Any) -> bool:
    return kind == "xt" and isinstance(value, dict) and value.get("name") in _XT_TRANSLATES


def _bare(element: Any) -> Any:
    """Return an element without its comment, counter or timeout."""
    wrapped = element.get("elem") if isinstance(element, dict) else None
    return wrapped.get("val") if isinstance(wrapped, dict) else element


def _narrowed(reach: Reach, left: Mapping[str, Any], value: Any, family: Family, *, negated: bool) -> Reach | None:
    payload, meta = left.get("payload") or {}, (left.get("meta") or {}).get("key")
    protocol, field = payload.get("protocol"), payload.get("field")
    if field == "dport" and protocol in ("tcp", "udp", "sctp", "th"):
        return _port(reach if protocol == "th" else only(reach, protocol), value, negated=negated)
    if field == "daddr":
        return _address(reach, value, negated=negated) if protocol == _WORDS[family] else None
    if meta == "l4proto" or field in ("protocol", "nexthdr"):
        return _protocol(reach, value, negated=negated)
    holds = _holds(left, meta, value, family)
    if holds is None:
        return reach._replace(sure=False)
    return reach if holds != negated else None


def _holds(left: Mapping[str, Any], meta: str | None, value: Any, family: Family) -> bool | None:
    """Return whether all packets from outside to the node have a value in a field; None if unknown."""
    if meta == "nfproto":
        return value in ({"IPv4": 2, "IPv6": 10}[family], family.lower())
    if meta in ("iif", "iifname") and value == "lo":
        return False
    return value in (2, "local") if (left.get("fib") or {}).get("result") == "type" else None


def _port(reach: Reach, value: Any, *, negated: bool) -> Reach:
    span = value["range"] if isinstance(value, dict) and "range" in value else [value, value]
    if not all(isinstance(end, int) for end in span):
        return reach._replace(sure=False)
    return outside(reach, [tuple(span)]) if negated else within(reach, [tuple(span)])


def _address(reach: Reach, value: Any, *, negated: bool) -> Reach | None:
    prefix = value.get("prefix") if isinstance(value, dict) else None
    cidr = f"{prefix['addr']}/{prefix['len']}" if prefix else value
    if not isinstance(cidr, str):
        return reach._replace(sure=False)
    if cidr.startswith(("127.", "::1")):
        return reach if negated else None
    return reach._replace(destinations=(*reach.destinations, Network(negated, cidr)))


def _protocol(reach: Reach, value: Any, *, negated: bool) -> Reach:
    name = _PROTOCOLS.get(value) if isinstance(value, (int, str)) else None
    others = tuple(ports for ports in reach.ports if ports.protocol != name)
    return reach._replace(ports=others) if negated else only(reach, name or "")


def _text(parts: Sequence[Any]) -> str:
    """Return a short text of a rule: its expressions without counters, as JSON."""
    import json  # late import: only needed if such a rule exists

    return json.dumps([part for part in parts if "counter" not in part], separators=(",", ":"))
