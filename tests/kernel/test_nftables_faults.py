"""An nft that fails, hangs, refuses or prints nothing, without libnftables; and a broken library."""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cputime
import pytest
import worlds
from echo import Answer
from netns import CLIENT, World, inside
from shims import Shims
from worlds import annotations

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.node import libnftables
from nplconf.node.backend import proxied_by_nftables
from nplconf.node.nftables import NftablesDriver
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"
WRITES = 'grep -qE "^(add|delete) (table|element) inet nplconf" "$call"'
"""In a shim: whether this call writes rules."""


@pytest.fixture
def backend() -> str:
    return "nftables"


@pytest.fixture
def shims(tmp_path: Path, node: World) -> Shims:
    """Nft writes down how it was called, and stands in for libnftables, which is missing."""
    node.shims = Shims.make(tmp_path / "shims", ("nft",))
    node.hidden = node.shims.lack_library()
    return node.shims


@pytest.fixture
def served(node: World, shims: Shims) -> World:
    """A Pod that is served, and one that has just come."""
    service = worlds.raw_service()
    service["spec"]["selector"] = {"all": "yes"}
    first = node.routed("web-0", "10.244.3.1")
    node.write(first, service)
    assert node.apply().counts == (0, 1, 0)
    (listing,) = worlds.read_objects(node.cluster)
    there = [item for item in listing["items"] if item["kind"] == "Pod"]
    node.write(*there, node.routed("web-1", "10.244.3.2"), service)
    shims.forget()
    return node


def numbers(node: World) -> dict[str, int]:
    """Return the annotation entries by Pod name."""
    published = {name: annotation.parse(text) for name, text in annotations(node.cluster).items()}
    return {name: entries[0].node_port for name, entries in published.items() if entries}


def still_serves(node: World) -> bool:
    """Check that the same Pod is reached, and no other annotation has changed."""
    published = numbers(node)
    return (
        node.ask("client", NODE_IP, published["web-0"]) == Answer("web-0", 8080, CLIENT["IPv4"]) and len(published) == 1
    )


def failures(applied: Any) -> str:
    return "\n".join(f"{failure['subject']}: {failure['message']}" for failure in applied.data["failures"])


def have(node: World, behaviour: str) -> None:
    assert node.shims is not None
    node.shims.have("nft", behaviour)


@pytest.mark.watch_too
def test_where_the_library_is_missing_nft_takes_the_same_text(served: World) -> None:
    assert served.apply().counts == (1, 1, 0)
    calls = served.shims.seen()  # type: ignore[union-attr]
    assert {call.line for call in calls} == {"nft -n -f -", "nft -n -t -f -"}
    (write,) = (call.text for call in calls if "element" in call.text)
    assert write.startswith("add element inet nplconf tcp-ipv4 {\n")
    assert served.ask("client", NODE_IP, numbers(served)["web-1"]) == Answer("web-1", 8080, CLIENT["IPv4"])
    served.hidden = None
    assert served.apply().counts == (2, 0, 0)
    assert served.shims.seen() == (), "the library is asked where it is there"  # type: ignore[union-attr]


@pytest.mark.watch_too
def test_one_bad_mapping_among_a_thousand_is_found_and_the_others_are_in(node: World, shims: Shims) -> None:
    node.write(*(worlds.raw_pod(f"web-{i}", [f"10.244.{i >> 8}.{i & 255}"]) for i in range(1000)), worlds.raw_service())
    shims.have("nft", 'if grep -q "shop/web-637:" "$call"; then echo "a:1:2-3: Error: too odd" >&2; exit 1; fi')

    applied = node.apply("--namespace-share", "100")

    assert (applied.code, applied.counts) == (5, (0, 999, 1))
    (failure,) = applied.data["failures"]
    assert "shop/web-637:8080" in failure["subject"]
    assert failure["message"] == "nftables: Error: too odd"
    published = numbers(node)
    assert set(published) == {f"web-{i}" for i in range(1000)} - {"web-637"}
    assert node.dispatched() == {str(number) for number in published.values()}
    assert sum("element" in call.text for call in shims.seen()) <= 30
    shims.have("nft", "")
    assert node.apply("--namespace-share", "100").counts == (999, 1, 0)


@pytest.mark.watch_too
@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("echo 'a:1:2-3: Error: Could not process rule: File exists' >&2; exit 1", "File exists"),
        ("exit 1", "exit code 1"),
        ("echo 'Error: Could not process rule: Cannot allocate memory' >&2; exit 1", "Cannot allocate memory"),
        ("exit 0", "reported success, but table inet nplconf is not as it was written"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_writes_that_fail_leave_what_is_there_and_are_named(served: World, behaviour: str, says: str) -> None:
    have(served, f"if {WRITES}; then {behaviour}; fi")

    applied = served.apply()

    assert applied.code == 5
    assert says in failures(applied)
    assert "shop/web-1:8080" in failures(applied)
    assert applied.seconds < 40
    assert still_serves(served)
    have(served, "")
    assert served.apply().counts == (1, 1, 0)
    assert set(numbers(served)) == {"web-0", "web-1"}


@pytest.mark.watch_too
def test_a_write_that_was_done_and_killed_then_is_no_failure(served: World) -> None:
    have(served, f'if {WRITES}; then real "$@" <"$call"; kill -9 $$; fi')
    assert served.apply().counts == (1, 1, 0)


def test_a_write_that_hangs_is_ended_in_time(served: World) -> None:
    have(served, f"if {WRITES}; then sleep 300; fi")
    applied = served.apply()
    assert applied.code == 5
    assert "no answer within 20 s; it was ended" in failures(applied)
    assert applied.seconds < 40
    assert still_serves(served)


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("exit 0", "prints nothing"),
        ("exit 1", "exit code 1"),
        ("echo 'netlink: Error: cache initialization failed: Protocol not supported' >&2; exit 1", "not supported"),
    ],
)
def test_an_nft_that_cannot_read_is_unavailable_and_nothing_changes(served: World, behaviour: str, says: str) -> None:
    before = served.ours()
    have(served, behaviour)

    done = served.nplconf("apply")

    assert done.returncode == 69
    assert says in done.stderr
    assert served.ours() == before
    assert still_serves(served)


def test_without_any_nft_the_message_says_what_to_install(served: World) -> None:
    served.shims.lack("nft")  # type: ignore[union-attr]
    done = served.nplconf("apply")
    assert done.returncode == 69
    assert "nft is not installed" in done.stderr
    assert still_serves(served)


# --- the library -----------------------------------------------------------------------------------------------------


def test_errors_are_named_without_the_commands_that_nft_repeats(node: World) -> None:
    elements = ", ".join(f"{port}" for port in range(1, 5000))
    with inside(node.node):
        done = libnftables.run(f"add element inet nowhere s {{ {elements} }}\n")
    assert done.code != 0
    assert libnftables.complaint(done) == "Error: No such file or directory"


def test_the_library_works_in_the_namespace_of_the_calling_thread(node: World) -> None:
    with inside(node.node):
        libnftables.run("add table inet here\n")
        assert "table inet here" in libnftables.ask("list tables inet\n")
    assert "table inet here" not in libnftables.ask("list tables inet\n")
    assert "table inet here" in node.run("nft", "list", "tables").stdout


def test_the_buffers_of_the_library_are_freed(node: World) -> None:
    listed = "list table inet full\n"
    with inside(node.node):
        elements = ",\n".join(map(str, range(1, 4000)))
        declared = "add table inet full\nadd set inet full s { type inet_service; }\n"
        assert libnftables.run(f"{declared}add element inet full s {{ {elements} }}\n").code == 0
        for _ in range(20):
            libnftables.ask(listed)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(200):
            libnftables.ask(listed)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2000, "KiB, of 200 times 30 KiB of text"


def _processor(call: Callable[[], object]) -> float:
    """The processor time of a call, the best of five."""
    return min(cputime.spent(call) for _ in range(5))


@pytest.mark.parametrize("table", ["inet other", "ip kube-proxy"])
def test_the_elements_of_foreign_tables_are_not_read(node: World, table: str) -> None:
    """The library reads every element of every set for some commands that print none, such as `list tables`."""
    with inside(node.node):
        declared = f"add table {table}\nadd set {table} s {{ type inet_service; }}\n"
        elements = ",\n".join(map(str, range(1, 20000)))
        assert libnftables.run(f"{declared}add element {table} s {{ {elements} }}\n").code == 0
        all_elements = _processor(lambda: libnftables.ask("list tables\n"))
        assert _processor(NftablesDriver().read) < all_elements / 5
        assert _processor(proxied_by_nftables) < all_elements / 5


def test_without_a_socket_the_library_is_not_called_as_it_would_end_the_process(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise OSError(97, "Address family not supported by protocol")

    with inside(node.node):
        monkeypatch.setattr(libnftables.socket, "socket", refuse)
        with pytest.raises(UnavailableError, match="no netlink socket for nftables: Address family not supported"):
            libnftables.ask("list tables inet\n")
        reading = NftablesDriver().read()
    assert set(reading.unreadable) == {"IPv4", "IPv6"}
    assert reading.found == {}


def test_a_process_without_rights_is_refused_with_a_message(node: World) -> None:
    ask = "from nplconf.node import libnftables; libnftables.ask('list tables inet\\n')"
    done = node.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", ask)
    assert PermissionDeniedError.__name__ in done.stderr
    assert "Operation not permitted" in done.stderr
