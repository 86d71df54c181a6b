"""Which iptables is used, and that nothing is lost where that changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import worlds
from echo import Answer
from netns import CLIENT, World, inside, spaces, world
from shims import PROGRAMS, Shims

from nplconf.model import FAMILIES, Backend, Family
from nplconf.node import backend
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
HINT, CANARY = backend.HINTS
OTHER: dict[str, Backend] = {"nft": "legacy", "legacy": "nft"}


class Hint(NamedTuple):
    """A chain in the mangle table of one family and one iptables."""

    used: Backend
    family: Family
    chain: str


CHOICES: tuple[tuple[tuple[Hint, ...], Backend], ...] = (
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
def test_the_kubelets_hint_chooses_and_nft_is_asked_first(bare: Bare, hints: tuple[Hint, ...], chosen: Backend) -> None:
    for hint in hints:
        bare.world.restore(f"*mangle\n:{hint.chain} - [0:0]\nCOMMIT\n", hint.family, hint.used)
    before = bare.tables()
    with inside(bare.world.node):
        assert backend.choose() == chosen
    assert bare.tables() == before, "to ask makes no table"


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_what_alone_is_installed_is_used_whatever_the_hints_say(
    bare: Bare, kind: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.world.restore(f"*mangle\n:{HINT} - [0:0]\nCOMMIT\n", backend=OTHER[kind])
    found = backend.command.find
    monkeypatch.setattr(backend.command, "find", lambda program: found(program) if f"-{kind}-" in program else None)
    with inside(bare.world.node):
        assert backend.choose() == kind


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
    """Of the Pod, at the number that it was told."""
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

    assert stuck.code == 69
    assert "Table does not exist" in stuck.said
    assert "removed" not in stuck.said
    assert served.ask("client", "10.10.10.10", entry.node_port) == Answer("web-0", 8080, CLIENT["IPv4"])

    served.shims = None
    applied = served.apply()

    assert (applied.code, applied.counts) == (0, (0, 1, 0))
    assert "the rules of nplconf in iptables-nft (IPv4) are removed" in applied.said
    assert not served.ours(backend="nft")
    assert annotation.parse(worlds.annotations(served.cluster)["web-0"]) == (entry,)
    assert answer(served) == Answer("web-0", 8080, CLIENT["IPv4"])
