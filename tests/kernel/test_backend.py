"""The choice of the backend, and a change of it without loss."""

import contextlib
import functools
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import pytest
import worlds
from echo import Answer
from netns import BACKENDS, CLIENT, IPTABLES, World, inside, spaces, world
from shims import PROGRAMS, Shims

from nplconf.errors import UnavailableError
from nplconf.model import FAMILIES, Family, IptablesKind
from nplconf.node import backend
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
HINT, CANARY = backend.HINTS
OTHER: dict[IptablesKind, IptablesKind] = {"nft": "legacy", "legacy": "nft"}


class Hint(NamedTuple):
    """A chain in the mangle table of one family and one iptables."""

    used: IptablesKind
    family: Family
    chain: str


CHOICES: tuple[tuple[tuple[Hint, ...], IptablesKind], ...] = (
    ((), "nft"),
    *(
        ((Hint(kind, family, chain),), kind)
        for kind in OTHER.values()
        for family in FAMILIES
        for chain in backend.HINTS
    ),
    ((Hint("nft", "IPv4", CANARY), Hint("legacy", "IPv4", HINT)), "nft"),
    ((Hint("nft", "IPv6", CANARY), Hint("legacy", "IPv4", HINT)), "nft"),
    ((Hint("nft", "IPv4", CANARY), Hint("legacy", "IPv4", CANARY)), "nft"),
    ((Hint("nft", "IPv4", HINT + "-OLD"), Hint("legacy", "IPv6", CANARY)), "legacy"),
)


class Bare(NamedTuple):
    """A namespace, for what needs no more than that."""

    world: World

    def tables(self) -> tuple[list[str], list[str]]:
        """The tables of iptables-legacy and of nft that are there."""
        legacy = [self.world.run("cat", file).stdout for file in backend.NAMES_FILES.values()]
        return legacy, self.world.run("nft", "list", "tables").stdout.splitlines()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    with spaces() as places:
        places.add("node")
        yield Bare(World(places, None, tmp_path, "auto"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("hints", "chosen"), CHOICES)
def test_the_kubelets_hint_chooses_and_nft_is_asked_first(
    bare: Bare, hints: tuple[Hint, ...], chosen: IptablesKind
) -> None:
    for hint in hints:
        bare.world.restore(f"*mangle\n:{hint.chain} - [0:0]\nCOMMIT\n", hint.family, hint.used)
    before = bare.tables()
    with inside(bare.world.node):
        assert backend.choose() == f"iptables-{chosen}"
    assert bare.tables() == before, "to ask makes no table"


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_the_only_installed_backend_is_used_whatever_the_hints(
    bare: Bare, kind: IptablesKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.world.restore(f"*mangle\n:{HINT} - [0:0]\nCOMMIT\n", backend=OTHER[kind])
    found = backend.command.find
    monkeypatch.setattr(backend.command, "find", lambda program: found(program) if f"-{kind}-" in program else None)
    monkeypatch.setattr(backend.libnftables, "library", lambda: None)
    with inside(bare.world.node):
        assert backend.choose() == f"iptables-{kind}"


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_table_of_kube_proxys_nftables_mode_decides_before_any_hint(bare: Bare, family: str) -> None:
    for kind in OTHER:
        bare.world.restore(f"*mangle\n:{HINT} - [0:0]\nCOMMIT\n", backend=kind)
    bare.world.nft(f"add table {family} kube-proxy")
    with inside(bare.world.node):
        assert backend.choose() == "nftables"


@pytest.mark.parametrize("table", ["inet kube-proxy", "ip kube-proxy-old", "ip nat"])
def test_a_table_of_another_program_does_not_choose_the_backend(bare: Bare, table: str) -> None:
    bare.world.nft(f"add table {table}")
    with inside(bare.world.node):
        assert backend.choose() == "iptables-nft"


@pytest.mark.parametrize("lacks", ["iptables", "iptables and the library", "everything"])
def test_nftables_is_used_where_no_iptables_is_installed(
    bare: Bare, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = backend.command.find
    monkeypatch.setattr(
        backend.command,
        "find",
        lambda program: None if "tables" in program or lacks == "everything" else found(program),
    )
    if lacks != "iptables":
        monkeypatch.setattr(backend.libnftables, "library", lambda: None)
    with inside(bare.world.node):
        if lacks != "everything":
            assert backend.choose() == "nftables"
            return
        with pytest.raises(UnavailableError, match="neither nftables nor iptables is installed"):
            backend.choose()


# --- a change of mind ------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[World]:
    """A node whose Pod is served by iptables-nft, and shims of all programs."""
    with world(tmp_path, "nft") as made:
        service = worlds.raw_service()
        service["spec"]["selector"] = {"all": "yes"}
        made.write(made.routed("web-0", "10.244.3.1"), service)
        assert made.apply().counts == (0, 1, 0)
        made.shims = Shims.make(tmp_path / "shims")
        yield made


def answer(here: World) -> Answer | str:
    """Return the answer of the Pod at its published port."""
    (entry,) = annotation.parse(worlds.annotations(here.cluster)["web-0"])
    return here.ask("client", "10.10.10.10", entry.node_port)


@pytest.mark.parametrize("command", ["apply", "plan", "verify", "show"])
def test_an_iptables_that_is_asked_for_and_not_installed_is_named_and_nothing_changes(
    served: World, command: str
) -> None:
    before = served.rules()
    served.backend = "legacy"
    for program in PROGRAMS:
        if "legacy" in program:
            served.shims.lack(program)  # type: ignore[union-attr]

    done = served.nplconf(command)

    assert done.returncode == 69
    assert "iptables-legacy-restore is not installed: apt-get install iptables" in done.stderr
    assert served.rules(backend="nft") == before
    assert answer(served) == Answer("web-0", 8080, CLIENT["IPv4"])


def test_the_rules_of_the_other_iptables_stay_until_the_one_in_use_has_its_own(served: World) -> None:
    served.backend = "legacy"
    for family in ("ip", "ip6"):
        served.shims.have(f"{family}tables-legacy-restore", "echo 'Table does not exist' >&2; exit 3")  # type: ignore[union-attr]
    (entry,) = annotation.parse(worlds.annotations(served.cluster)["web-0"])

    stuck = served.apply()

    assert stuck.code == 5, "the annotation was withdrawn"
    assert "Table does not exist" in stuck.stderr
    assert "removed" not in stuck.stderr
    assert served.ask("client", "10.10.10.10", entry.node_port) == Answer("web-0", 8080, CLIENT["IPv4"])

    served.shims = None
    applied = served.apply()

    assert (applied.code, applied.counts) == (0, (0, 1, 0))
    assert "the rules of nplconf in iptables-nft (IPv4) are removed" in applied.stderr
    assert not served.ours(backend="nft")
    assert annotation.parse(worlds.annotations(served.cluster)["web-0"]) == (entry,)
    assert answer(served) == Answer("web-0", 8080, CLIENT["IPv4"])


class Loop(threading.Thread):
    """A client that asks a mapping again and again, by a connection of its own each time."""

    def __init__(self, here: World, place: str, address: str, number: int, protocol: str) -> None:
        super().__init__(daemon=True)
        self.outcomes: Counter[Answer | str] = Counter()
        self._ask = functools.partial(here.ask, place, address, number, protocol=protocol, patience=1)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            self.outcomes[self._ask()] += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(BACKENDS, 2)])
def test_a_change_of_backend_refuses_no_connection(tmp_path: Path, before: str, after: str) -> None:
    with world(tmp_path, before) as here:
        service = worlds.raw_service("web", [(80, 8080, "TCP"), (53, 53, "UDP")])
        service["spec"] |= {"selector": {"all": "yes"}, "ipFamilies": ["IPv4", "IPv6"]}
        here.write(here.routed("web-0", "10.244.3.1", "fd00:244::1", udp=(53,)), service)
        here.start_hold()
        assert here.apply().counts == (0, 4, 0)
        published = worlds.annotations(here.cluster)
        here.backend = after
        with contextlib.ExitStack() as stack:
            loops = [
                stack.enter_context(Loop(here, place, entry.node_ip, entry.node_port, entry.protocol))
                for entry in annotation.parse(published["web-0"])
                for place in ("client", "node")
            ]
            time.sleep(0.2)
            applied = here.apply()
            time.sleep(0.2)

        assert applied.code == 0, applied.stderr
        assert {change["reason"] for change in applied.data["changes"]} == {"backend-changed"}
        assert [loop.outcomes for loop in loops if any(isinstance(outcome, str) for outcome in loop.outcomes)] == []
        assert all(sum(loop.outcomes.values()) > 20 for loop in loops)
        assert worlds.annotations(here.cluster) == published
        assert here.dispatched() != set()
        here.backend = before
        assert here.ours() == []
        here.backend = after
        assert here.apply().counts == (4, 0, 0)


@pytest.mark.parametrize("used", BACKENDS)
def test_cleanup_removes_the_rules_of_every_backend(tmp_path: Path, used: str) -> None:
    with world(tmp_path, "nft") as here:
        here.write(here.routed("web-0", "10.244.3.1"), worlds.raw_service() | {})
        for kind in BACKENDS:
            here.backend = kind
            assert here.nplconf("apply", "--write-back", str(tmp_path / "other.json")).returncode == 0
        for kind in IPTABLES:
            for family in FAMILIES:
                here.restore("*nat\n:NPLCONF-OLD - [0:0]\nCOMMIT\n", family, kind)
        here.backend = used
        assert here.nplconf("cleanup").returncode == 0
        assert [here.ours(backend=kind) for kind in BACKENDS] == [[], [], []]
        assert here.nplconf("cleanup").returncode == 0
