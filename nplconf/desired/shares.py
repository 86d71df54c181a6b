"""The distribution of free node ports: namespaces take turns, and none exceeds its share. Pure.

A port that cools down stays with the namespace that had it, because load balancers still send the old Pod's traffic
there. Beyond `_FEW` ports it therefore counts against the share: a tenant that restarts its Pods all the time would
otherwise occupy the whole range with cooling ports. Such a tenant reuses its own cooling ports early.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nplconf.desired.pods import Refusal
from nplconf.model import PodPort, PortRange

_FEW = 32
"""A namespace that occupies fewer numbers than this, in use or cooling, never reuses one while another is free."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a range one namespace may have. percent: of the ports of the range."""

    percent: int
    port_range: PortRange

    @property
    def most(self) -> int:
        """How many ports a namespace may have. With more than the percentage it gets no other."""
        return len(self.port_range) * self.percent // 100 + 1

    def refusal(self, owner: PodPort) -> Refusal:
        """Return why a namespace that has its share gets no new port."""
        return Refusal(
            "namespace-share",
            f"namespace {owner.namespace} has more than {self.percent} % of {self.port_range}; raise namespaceShare"
            " (--namespace-share), or set caps.perNamespace in a policy",
        )


@dataclass(frozen=True, slots=True)
class Stock:
    """The ports that new requests may get.

    Attributes:
        free: How many ports nobody has or had.
        cooling: The ports that cool down, by namespace, the one that has cooled longest first.
        held: How many ports a namespace has.
        most: How many a namespace may have; None for any number.

    """

    free: int
    cooling: Mapping[str, Sequence[int]] = field(hash=False)
    held: Mapping[str, int] = field(hash=False)
    most: int | None = None


@dataclass(slots=True)
class Shared:
    """The result of the turns.

    Attributes:
        fresh: The owners that get a free port.
        reused: The owners that get a cooling port of their own namespace.
        over: The namespaces that have their share although ports are left.

    """

    fresh: list[PodPort] = field(default_factory=list)
    reused: dict[PodPort, int] = field(default_factory=dict)
    over: frozenset[str] = frozenset()


def share_out(waiting: Iterable[PodPort], stock: Stock) -> Shared:
    """Serve the namespaces in turns, one port a turn, those with the fewest ports first.

    Args:
        waiting: the owners that need a port; the first of a namespace is served first.
        stock: the ports there are.

    """
    queues: dict[str, deque[PodPort]] = {}
    for owner in waiting:
        queues.setdefault(owner.namespace, deque()).append(owner)
    turns = _Turns(stock)
    order = sorted(queues, key=lambda namespace: (stock.held.get(namespace, 0), namespace))
    while order:
        order = [namespace for namespace in order if turns.take(namespace, queues[namespace]) and queues[namespace]]
    turns.shared.over = frozenset(namespace for namespace, queue in queues.items() if queue and turns.over(namespace))
    return turns.shared


class _Turns:
    """The remaining ports while namespaces take turns."""

    def __init__(self, stock: Stock) -> None:
        self.shared = Shared()
        self._most = stock.most
        self._free = stock.free
        self._held = Counter(stock.held)
        self._cooling = {namespace: deque(numbers) for namespace, numbers in stock.cooling.items()}

    def over(self, namespace: str) -> bool:
        """Return whether only the share prevents a namespace from getting a port."""
        left = self._free or self._cooling.get(namespace)
        return bool(left) and self._most is not None and self._held[namespace] >= self._most

    def take(self, namespace: str, queue: deque[PodPort]) -> bool:
        """Give the first of the queue a number; False when its namespace can have none."""
        if self._most is not None and self._held[namespace] >= self._most:
            return False
        cooling = self._cooling.get(namespace)
        occupied = self._held[namespace] + len(cooling or ())
        if self._free and (self._most is None or occupied < max(self._most, _FEW)):
            self._free -= 1
            self.shared.fresh.append(queue.popleft())
        elif cooling:
            self.shared.reused[queue.popleft()] = cooling.popleft()
        else:
            return False
        self._held[namespace] += 1
        return True
