"""Golden worlds: what goes in and what must come out, byte for byte, by pure code and on a real kernel.

A directory of tests/golden is a world named by what it shows. In: cluster.yaml, and node.yaml where the node is not a
new one (portRange, namespaceShare, sctp, taken numbers, bridges, and the rules that are there, as iptables-save prints
them). Out: plan.yaml, the text for iptables-restore per family, the text for nft, the annotation of each Pod. On
nftables the node has the same mappings in its table. `pytest --update-golden` writes what comes out.
"""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from holdstandin import standing_in
from listings import read_back
from netns import BACKENDS, World, batch, inside, spaces, sysctl
from shims import PROGRAMS, Call, Shims
from worlds import NODE, annotations

from nplconf.cluster.file.dump import FileCluster
from nplconf.model import ANNOTATION, FAMILIES, PROTOCOLS, Family, Holds, LiveRule, PortRange, Taken
from nplconf.plan import document
from nplconf.plan.state import Loaded, State
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import read
from nplconf.rules.iptables.transaction import transaction
from nplconf.rules.masquerade import Route
from nplconf.rules.nftables import frame, lookup
from nplconf.rules.nftables import table as nftables
from nplconf.rules.nftables.element import Element
from nplconf.rules.nftables.table import NftTable
from nplconf.rules.nftables.transaction import transaction as to_nft
from nplconf.run.decide import decide
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed
from nplconf.settings import DEFAULT_RANGE, Settings

GOLDEN = Path(__file__).parent / "golden"
NFT = "nftables.txt"
WORLDS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


@dataclass(frozen=True)
class Given:
    """A world as it is before the run."""

    directory: Path
    port_range: PortRange
    taken: tuple[int, ...]
    bridges: dict[str, str]
    rules: dict[Family, str]
    namespace_share: int
    sctp: bool

    @classmethod
    def load(cls, name: str) -> "Given":
        path = GOLDEN / name / "node.yaml"
        data: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
        first, last = data.get("portRange", str(DEFAULT_RANGE)).split("-")
        taken, bridges = tuple(data.get("taken", ())), data.get("bridges", {})
        ports, share = PortRange(int(first), int(last)), data.get("namespaceShare", 50)
        return cls(GOLDEN / name, ports, taken, bridges, data.get("rules", {}), share, data.get("sctp", False))

    @property
    def cluster(self) -> Path:
        return self.directory / "cluster.yaml"

    def tables(self) -> dict[Family, NftTable]:
        """The table of nftables with the same mappings."""
        live = {family: tree.live(read(self.rules.get(family, "")), family) for family in FAMILIES}
        return read_back(map(_table, FAMILIES, live.values())) if any(live.values()) else nftables.tables({}, {})

    def on_nftables(self) -> Observed:
        """The same node on nftables."""
        return replace(self.observed(), backend="nftables", rules=lookup, found=self.tables())

    def observed(self) -> Observed:
        """What a run would read from such a node."""
        return Observed(
            loaded=Loaded(State(), ""),
            boot="boot-1",
            now=1000.0,
            backend="iptables-nft",
            rules=tree,
            found={family: read(self.rules.get(family, "")) for family in FAMILIES},
            unreadable={},
            leftovers={},
            holds=Holds(
                True, (self.port_range,), tuple(Taken(number, "tcp") for number in self.taken), protocols=PROTOCOLS
            ),
            routes=tuple(Route(network, bridged=True) for network in self.bridges.values()),
        )


def came_out(given: Given) -> dict[str, str]:
    """File name -> content, by pure code."""
    observed = given.observed()
    decision = decided(given, observed)
    by_nftables = decided(given, given.on_nftables())
    assert (by_nftables.plan, by_nftables.patches) == (decision.plan, decision.patches)
    text = to_nft([(table, by_nftables.wanted[family]) for family, table in given.tables().items()])
    restores = {f"restore-{f}.txt": transaction(decision.wanted[f], observed.found[f]) for f in FAMILIES}
    return {
        "plan.yaml": document.dump(decision.plan),
        "annotations.yaml": _told(given, decision),
        NFT: text,
        **restores,
    }


def decided(given: Given, observed: Observed) -> Decision:
    settings = Settings(NODE, port_range=given.port_range, namespace_share=given.namespace_share, sctp=given.sctp)
    decision = decide(FileCluster([str(given.cluster)], None).snapshot(NODE), observed, settings)
    assert decision.blocked is None
    return decision


def _table(family: Family, live: Iterable[LiveRule]) -> NftTable:
    """A table with these rules and nothing beside them."""
    sets: dict[str, dict[str, Element]] = {name: {} for name in nftables.names(family)}
    for rule in live:
        name = frame.ports(rule.key.protocol, family)
        sets[name][str(rule.key.node_port)] = Element(f"{rule.pod_ip} . {rule.pod_port}", rule.tag)
    return NftTable(frame.frame(), sets)


def _told(given: Given, decision: Decision) -> str:
    reported = annotations(given.cluster) | {patch.pod.name: patch.annotation for patch in decision.patches}
    return yaml.safe_dump(reported, width=1000)


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_gives_its_golden_results(name: str, request: pytest.FixtureRequest) -> None:
    given = Given.load(name)
    made = came_out(given)
    for file, content in made.items():
        if request.config.getoption("--update-golden"):
            (given.directory / file).write_text(content)
        assert content == (given.directory / file).read_text(), file


@pytest.fixture
def kernel(tmp_path: Path, backend: str) -> Iterator[World]:
    """A node without anything around it."""
    with bare(tmp_path, backend) as made:
        yield made


@contextlib.contextmanager
def bare(tmp_path: Path, backend: str) -> Iterator[World]:
    """A node without anything around it, which records the calls of the programs that change rules."""
    with spaces() as places:
        places.add("node")
        made = World(places, None, tmp_path, backend)  # type: ignore[arg-type]
        made.shims = Shims.make(tmp_path / "shims", ("nft",) if backend == "nftables" else PROGRAMS)
        if backend == "nftables":
            made.hidden = made.shims.lack_library()
        yield made


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


def become(kernel: World, given: Given) -> None:
    """Make the namespace the node that is given."""
    (kernel.directory / "cluster.json").write_text(given.cluster.read_text())
    if given.bridges:
        sysctl(kernel.node, "net.bridge.bridge-nf-call-iptables", 0)
    for bridge, network in given.bridges.items():
        address = network.replace(".0/", ".1/")
        batch(f"-n {kernel.node}", f"link add {bridge} type bridge", f"address add {address} dev {bridge}")
        batch(f"-n {kernel.node}", f"link set {bridge} up")
    if kernel.backend == "nftables":
        empty = nftables.tables({}, {})
        text = to_nft([(empty[family], table) for family, table in given.tables().items() if table.frame])
        kernel.nft(text)
        return
    for family, rules in given.rules.items():
        kernel.restore(rules, family)


@pytest.mark.kernel
@pytest.mark.parametrize("name", WORLDS)
def test_a_real_kernel_gets_the_same_rules_and_then_no_more_changes(kernel: World, name: str) -> None:
    given = Given.load(name)
    become(kernel, given)
    assert kernel.shims is not None
    kernel.shims.forget()

    with taken(kernel, given.taken), held(kernel, given):
        sctp = ("--sctp",) if given.sctp else ()
        options = ("--port-range", str(given.port_range), "--namespace-share", str(given.namespace_share), *sctp)
        applied = kernel.apply(*options)
        writes = [call for call in kernel.shims.seen() if writes_rules(call)]
        again = kernel.apply(*options)

    assert applied.code == 0, applied.stderr
    if decided(given, given.observed()).old_ports:
        assert len(writes) == 2, "the old port goes once the new one is published"
        same_rules(kernel, given)
    elif kernel.backend == "nftables":
        text = (given.directory / NFT).read_text()
        assert [call.text for call in writes] == ([text] if text else [])
    else:
        same_restores(kernel, given, writes)
    assert annotations(kernel.cluster) == yaml.safe_load((given.directory / "annotations.yaml").read_text())
    assert (again.code, again.counts[1:]) == (0, (0, 0))
    assert not any(map(writes_rules, kernel.shims.seen()))


def writes_rules(call: Call) -> bool:
    return "inet nplconf {" in call.text or "element" in call.text if "nft " in call.line else not call.reads


def same_restores(kernel: World, given: Given, writes: Iterable[Call]) -> None:
    wanted = {family: (given.directory / f"restore-{family}.txt").read_text() for family in FAMILIES}
    programs = {"IPv4": f"iptables-{kernel.backend}-restore", "IPv6": f"ip6tables-{kernel.backend}-restore"}
    assert {call.line.split()[0]: call.text for call in writes} == {programs[f]: t for f, t in wanted.items() if t}


def same_rules(kernel: World, given: Given) -> None:
    """The rules are those that the written text makes of the world as it was before the run."""
    directory = kernel.directory / "expected"
    directory.mkdir()
    with bare(directory, kernel.backend) as expected:
        become(expected, given)
        if kernel.backend == "nftables":
            expected.nft((given.directory / NFT).read_text())
        else:
            for family in FAMILIES:
                expected.restore((given.directory / f"restore-{family}.txt").read_text(), family)
        for family in FAMILIES:
            assert kernel.ours(family) == expected.ours(family)


@contextlib.contextmanager
def held(kernel: World, given: Given) -> Iterator[None]:
    """The range is held for SCTP, too, where the world needs it."""
    with contextlib.ExitStack() as daemon:
        if given.sctp:
            daemon.enter_context(standing_in(kernel.directory / "hold.sock", given.port_range))
            kernel.hold = True
        yield


@contextlib.contextmanager
def taken(kernel: World, numbers: tuple[int, ...]) -> Iterator[None]:
    """Foreign servers on the node."""
    with contextlib.ExitStack() as servers:
        for number in numbers:
            with inside(kernel.node):
                servers.enter_context(socket.create_server(("0.0.0.0", number)))
        yield


def test_golden_worlds_are_named_by_what_they_show() -> None:
    assert len(WORLDS) >= 12
    assert ANNOTATION in (GOLDEN / "the-seed-one-service-left" / "cluster.yaml").read_text()
