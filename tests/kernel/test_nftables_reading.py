"""The table as it is read from a real kernel: exactly what was written, and what other programs changed in it."""

import sys
import time
from collections.abc import Mapping, Sequence

import pytest
import worlds
from listings import BRIDGES, SOURCES, build, built
from netns import World, inside

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, PROTOCOLS, Family, PortMapping, PortRange
from nplconf.node import libnftables, nftables, nftsets
from nplconf.node.nftables import read, read_after
from nplconf.rules import EVERYWHERE, Goal
from nplconf.rules.masquerade import Route, masquerade_sources
from nplconf.rules.nftables import lookup
from nplconf.rules.nftables.table import NftTable, tables
from nplconf.rules.nftables.transaction import changed_keys, transaction

pytestmark = pytest.mark.kernel
ADDRESSES: dict[Family, tuple[str, ...]] = {"IPv4": ("10.10.10.10", "0.0.0.9"), "IPv6": ("fd00:10::10", "2001:db8::")}
ROW = worlds.mapping(61001)


@pytest.fixture
def backend() -> str:
    return "nftables"


def write(there: Mapping[Family, NftTable]) -> None:
    empty = tables({}, {})
    done = libnftables.run(transaction([(empty[family], table) for family, table in there.items()]))
    assert done.code == 0, done.errors


def nft(text: str) -> None:
    done = libnftables.run(text)
    assert done.code == 0, done.errors


def rows(family: Family) -> list[PortMapping]:
    """Mappings of every protocol: open ones, and ones with some sources and with all."""
    found = []
    for number, protocol in enumerate(PROTOCOLS):
        row = worlds.mapping(61001 + number, protocol, family)
        limited = row._replace(node_port=61101 + number, source_ranges=SOURCES[family])
        everywhere = row._replace(node_port=61201 + number, source_ranges=(EVERYWHERE[family],))
        found += [row, limited, everywhere]
    return found


@pytest.mark.parametrize("span", [(61000, 62000), (61000, 61000), (61440, 62463), (32768, 65535), (1, 65535)])
@pytest.mark.parametrize("routes", [(), BRIDGES], ids=["hairpin", "bridged"])
def test_what_is_written_is_read_alike(node: World, routes: tuple[Route, ...], span: tuple[int, int]) -> None:
    want = {
        family: lookup.build(
            rows(family),
            ADDRESSES[family],
            masquerade_sources(routes, {row.pod_ip for row in rows(family)}),
            PortRange(*span),
            family,
        )
        for family in FAMILIES
    }
    with inside(node.node):
        write(want)
        there = read()
    for family in FAMILIES:
        assert (there[family].frame, there[family].sets) == (want[family].frame, want[family].sets)
        assert not lookup.differs(there[family], want[family])
        assert there[family].rest == want["IPv6" if family == "IPv4" else "IPv4"].sets


def test_many_elements_are_read_in_several_messages(node: World) -> None:
    ports = range(20000, 25000)
    want = built(*(ROW._replace(node_port=i, pod_ip=f"10.{i >> 8}.{i & 255}.1") for i in ports))
    with inside(node.node):
        write(want)
        there = read()
    assert there["IPv4"].sets == want["IPv4"].sets


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("tcp-ipv4", "61014 : 10.9.9.9 . 80"),
        ("tcp-ipv4", '61014 comment "not, of nplconf" : 10.9.9.9 . 80'),
        ("tcp-ipv4", '61014 comment "ä" : 10.9.9.9 . 80'),
        ("addresses-ipv4", '10.9.9.9 comment "mine, too"'),
        ("addresses-ipv6", "::ffff:10.0.0.1"),
        ("hairpin-ipv4", '10.9.9.9 . 10.9.9.9 comment "mine"'),
        ("tcp-ipv4-sources", "10.9.9.1-10.9.9.3 . 61001"),
        ("bridged-ipv6", "fd00::1-fd00::3 . fd00::1"),
        ("published-ipv4", '10.9.9.9 . 61000-62000 comment "mine"'),
    ],
)
def test_a_foreign_element_is_unknown_and_hides_no_other(node: World, name: str, element: str) -> None:
    want = built(ROW, worlds.mapping(61002, family="IPv6"))
    with inside(node.node):
        write(want)
        nft(f"add element inet nplconf {name} {{ {element} }}\n")
        there = read()
    for family in FAMILIES:
        assert there[family].sets == want[family].sets
        assert there[family].unknown == ({name} if family.lower() in name else set())


def test_an_element_with_a_timeout_is_unknown(node: World) -> None:
    with inside(node.node):
        write(built(ROW))
        nft(
            "flush chain inet nplconf source-ipv4\ndelete set inet nplconf hairpin-ipv4\n"
            "add set inet nplconf hairpin-ipv4 { type ipv4_addr . ipv4_addr; flags timeout; }\n"
            "add element inet nplconf hairpin-ipv4 { 10.9.9.9 . 10.9.9.9 timeout 1h }\n"
        )
        there = read()["IPv4"]
    assert there.unknown == {"hairpin-ipv4"}
    assert there.sets["hairpin-ipv4"] == {}


def test_a_set_that_is_missing_has_no_element(node: World) -> None:
    with inside(node.node):
        write(built(ROW))
        nft("flush chain inet nplconf source-ipv4\ndelete set inet nplconf hairpin-ipv4\n")
        there = read()["IPv4"]
    assert there.sets["hairpin-ipv4"] == {}
    assert "set hairpin-ipv4" not in there.frame
    assert len(there.sets["tcp-ipv4"]) == 1


def test_tables_of_the_same_name_in_other_families_are_not_read(node: World) -> None:
    with inside(node.node):
        nft("add table ip nplconf\nadd table inet nplconf-other\nadd chain inet nplconf-other c\n")
        assert all(table == NftTable() for table in read().values())


# --- after a transaction of this process -----------------------------------------------------------------------------

SECOND = worlds.mapping(61002)


def after(
    first: Sequence[PortMapping], second: Sequence[PortMapping], then: str = ""
) -> Mapping[Family, NftTable] | None:
    """What is read of the written sets after one transaction of this process, and after a further one."""
    write(built(*first))
    before = read()
    now = built(*second)
    written = {
        name: keys for family, table in now.items() for name, keys in changed_keys(before[family], table).items()
    }
    nft(transaction([(before[family], table) for family, table in now.items()]))
    if then:
        nft(then)
    return read_after(before, written)


@pytest.mark.parametrize("second", [[ROW, SECOND], [SECOND], [ROW._replace(source_ranges=("10.0.0.0/8",))], []])
def test_the_written_sets_and_what_was_read_before_make_the_whole_table(node: World, second: list[PortMapping]) -> None:
    with inside(node.node):
        found = after([ROW], second)
        assert found == read()
        assert found
        assert {table.generation for table in found.values()} == {table.generation for table in read().values()}


@pytest.mark.parametrize(
    "then",
    [
        "add element inet nplconf tcp-ipv4 { 61099 : 10.9.9.9 . 80 }\n",
        "insert rule inet nplconf prerouting accept\n",
        "add table ip another\n",
    ],
)
def test_after_any_other_transaction_the_table_must_be_read_whole(node: World, then: str) -> None:
    with inside(node.node):
        assert after([ROW], [ROW, SECOND], then) is None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("routes", [(), BRIDGES], ids=["hairpin", "bridged"])
def test_one_change_among_many_mappings_is_looked_up(
    node: World, monkeypatch: pytest.MonkeyPatch, family: Family, routes: tuple[Route, ...]
) -> None:
    """An added, a changed and a removed mapping, restricted ones among them, are read alone."""
    first = [worlds.mapping(port, family=family) for port in range(61000, 61200)]
    limited = worlds.mapping(61300, family=family)._replace(source_ranges=SOURCES[family])
    moved = first[7]._replace(pod_ip="10.244.3.99" if family == "IPv4" else "fd00:244::99")
    second = [*first[1:7], moved, *first[8:], limited]
    listed: list[str] = []
    original = nftsets.read

    def reading(kernel: nftsets.Channel, name: str) -> nftsets.Listed:
        listed.append(name)
        return original(kernel, name)

    with inside(node.node):
        write({f: build(f, first, routes) for f in FAMILIES})
        before, now = read(), {f: build(f, second, routes) for f in FAMILIES}
        nft(transaction([(before[f], now[f]) for f in FAMILIES]))
        monkeypatch.setattr(nftsets, "read", reading)
        found = read_after({family: before[family]}, changed_keys(before[family], now[family]))
        assert f"tcp-{family.lower()}" not in listed
        assert found == {family: read()[family]}


def test_an_element_that_the_kernel_does_not_have_is_not_found(node: World) -> None:
    with inside(node.node):
        write(built(ROW))
        with nftsets.Channel(nftsets.INET, time.monotonic() + 5) as kernel:
            keys = ["61001", "61002"]
            assert nftsets.look_up(kernel, "tcp-ipv4", keys).elements.keys() == {"61001"}
            assert nftsets.look_up(kernel, "tcp-ipv6", keys) == ({}, False)


def test_a_foreign_element_in_a_written_set_is_unknown(node: World) -> None:
    with inside(node.node):
        write(built(ROW))
        before = read()
        nft("add element inet nplconf tcp-ipv4 { 61099 : 10.9.9.9 . 80 }\n")
        found = read_after(before, {"tcp-ipv4": {"61099"}})
        assert found == read()
        assert found
        assert found["IPv4"].unknown == {"tcp-ipv4"}


def test_a_sync_of_one_mapping_reads_no_frame_again(node: World, monkeypatch: pytest.MonkeyPatch) -> None:
    listings: list[str] = []
    original = libnftables.listed

    def listing(text: str) -> str:
        listings.append(text)
        return original(text)

    monkeypatch.setattr(libnftables, "listed", listing)
    with inside(node.node):
        write(built(ROW))
        goal = Goal(read(), lambda family, rows: built(*rows)[family], [ROW], [SECOND])
        listings.clear()
        synced = nftables.NftablesDriver().sync(goal)
        assert not listings
        assert synced.found == read()
        assert synced.found["IPv4"].sets == built(ROW, SECOND)["IPv4"].sets


# --- while other programs write --------------------------------------------------------------------------------------


def test_a_table_that_changes_while_it_is_read_is_read_again(node: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping moves from the last map to the first one after the first was read."""
    udp = worlds.mapping(61001, "udp")
    original = nftsets.read
    moved: list[str] = []

    def reading(kernel: nftsets.Channel, name: str) -> nftsets.Listed:
        found = original(kernel, name)
        if name == "tcp-ipv4" and not moved:
            moved.append(name)
            now, then = (built(row)["IPv4"] for row in (udp, ROW))
            nft(transaction([(now, then)]))
        return found

    with inside(node.node):
        write(built(udp))
        monkeypatch.setattr(nftsets, "read", reading)
        there = read()["IPv4"]
    assert (len(there.sets["tcp-ipv4"]), len(there.sets["udp-ipv4"])) == (1, 0)


def test_a_table_that_never_stops_changing_cannot_be_read(node: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = nftsets.read

    def reading(kernel: nftsets.Channel, name: str) -> nftsets.Listed:
        nft("add table inet other\ndelete table inet other\n")
        return original(kernel, name)

    with inside(node.node):
        write(built(ROW))
        monkeypatch.setattr(nftsets, "read", reading)
        monkeypatch.setattr(nftables, "READING", 0.5)
        with pytest.raises(UnavailableError, match="the rules change all the time"):
            read()


def test_a_process_without_rights_is_refused(node: World) -> None:
    code = "from nplconf.node import nftables; nftables.read()"
    done = node.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", code)
    assert PermissionDeniedError.__name__ in done.stderr
    assert "nftables: Operation not permitted" in done.stderr
