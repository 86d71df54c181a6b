"""iptables that fails, hangs or refuses: exit code, message, and what stays."""

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds
from echo import Answer
from netns import CLIENT, IPTABLES, World
from shims import PROGRAMS, WRITES_RULES, Shims

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"


@pytest.fixture(params=IPTABLES)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pods(count: int) -> list[dict[str, Any]]:
    return [worlds.raw_pod(f"web-{i}", [f"10.244.{i >> 8}.{i & 255}"]) for i in range(count)]


def numbers(node: World) -> dict[str, str]:
    """Return the published node port by Pod name. Pods without entries are left out."""
    published = worlds.annotations(node.cluster)
    return {pod: re.search(r'"nodePort":(\d+)', text)[1] for pod, text in published.items() if text}  # type: ignore[index]


@pytest.fixture
def served(node: World, shims: Shims) -> World:
    """A Pod that is served, and one that has just come."""
    service = worlds.raw_service()
    service["spec"]["selector"] = {"all": "yes"}
    node.write(node.routed("web-0", "10.244.3.1"), service)
    assert node.apply().counts == (0, 1, 0)
    (listing,) = worlds.read_objects(node.cluster)
    there = [item for item in listing["items"] if item["kind"] == "Pod"]
    node.write(*there, node.routed("web-1", "10.244.3.2"), service)
    shims.forget()
    return node


def break_writes(node: World, behaviour: str) -> None:
    assert node.shims is not None
    for program in ("iptables", "ip6tables"):
        node.shims.have(f"{program}-{node.backend}-restore", f"if {WRITES_RULES}; then {behaviour}; fi")


def still_serves(node: World) -> bool:
    """Check that the same Pod is reached, and its annotation is unchanged."""
    published = numbers(node)
    answer = node.ask("client", NODE_IP, int(published["web-0"]))
    return answer == Answer("web-0", 8080, CLIENT["IPv4"]) and set(published) == {"web-0"}


def failures(applied: Any) -> str:
    return "\n".join(f"{failure['subject']}: {failure['message']}" for failure in applied.data["failures"])


# --- a mapping that the kernel will not have -------------------------------------------------------------------------


REFUSALS = {
    "nft": "echo 'line 7: RULE_APPEND failed (Invalid argument): rule in chain NPLCONF-TCP-EE4' >&2; exit 4",
    "legacy": "echo 'iptables-restore: line 7 failed' >&2; exit 1",
}
"""What each iptables does when the kernel will not have a rule."""


def refuse(shims: Shims, backend: str, *tags: str) -> None:
    """Have every transaction refused that contains one of these owner tags."""
    pattern = "|".join(f"shop/{tag}:" for tag in tags)
    shims.have(f"iptables-{backend}-restore", f'if grep -qE "{pattern}" "$call"; then {REFUSALS[backend]}; fi')


WHOLE_RANGE = ("--namespace-share", "100")


@pytest.mark.watch_too
def test_one_bad_mapping_among_a_thousand_is_found_and_the_others_are_in(node: World, shims: Shims) -> None:
    node.write(*pods(1000), worlds.raw_service())
    refuse(shims, node.backend, "web-637")

    applied = node.apply(*WHOLE_RANGE)

    assert applied.code == 5
    assert applied.counts == (0, 999, 1)
    (failure,) = applied.data["failures"]
    assert "shop/web-637:8080" in failure["subject"]
    assert "line 7" in failure["message"]
    published = numbers(node)
    assert set(published) == {f"web-{i}" for i in range(1000)} - {"web-637"}
    assert sorted(re.findall(r"--dport (\d+) .*DNAT", "\n".join(node.ours()))) == sorted(published.values())
    assert sum(not call.reads for call in shims.seen()) <= 30
    assert applied.seconds < 60

    for backend_shim in PROGRAMS:
        shims.have(backend_shim, "")
    assert node.apply(*WHOLE_RANGE).counts == (999, 1, 0)


@pytest.mark.watch_too
def test_three_bad_mappings_are_named_each(node: World, shims: Shims) -> None:
    node.write(*pods(64), worlds.raw_service())
    refuse(shims, node.backend, "web-0", "web-31", "web-63")
    applied = node.apply()
    assert (applied.code, applied.counts) == (5, (0, 61, 3))
    assert {f["subject"].split()[1] for f in applied.data["failures"]} == {f"shop/web-{i}:8080" for i in (0, 31, 63)}
    assert len(numbers(node)) == 61


# --- iptables that does nothing --------------------------------------------------------------------------------------


@pytest.mark.watch_too
@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("echo 'iptables-restore: line 3 failed' >&2; exit 1", "line 3 failed"),
        ("exit 2", "exit code 2"),
        ("echo 'line 3: CHAIN_ADD failed (Cannot allocate memory): chain A' >&2; exit 4", "Cannot allocate memory"),
        ("exit 0", "reported success, but the rules are not there"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_writes_that_fail_leave_what_is_there_and_are_named(served: World, behaviour: str, says: str) -> None:
    break_writes(served, behaviour)

    applied = served.apply()

    assert applied.code == 5
    assert says in failures(applied)
    assert "shop/web-1:8080" in failures(applied)
    assert applied.seconds < 30
    assert still_serves(served)
    served.shims = None
    assert served.apply().counts == (1, 1, 0)
    assert set(numbers(served)) == {"web-0", "web-1"}


@pytest.mark.watch_too
def test_an_address_that_cannot_be_added_takes_nothing_away_at_the_others(served: World) -> None:
    (listing,) = worlds.read_objects(served.cluster)
    kept = [item for item in listing["items"] if item["kind"] != "Node" and item["metadata"]["name"] != "web-1"]
    served.write(*kept, addresses=[*worlds.ADDRESSES, ("InternalIP", "10.0.0.2")])
    break_writes(served, "exit 1")

    applied = served.apply()

    assert applied.code == 5
    assert [failure["subject"] for failure in applied.data["failures"]] == ["IPv4"]
    assert still_serves(served)


@pytest.mark.watch_too
def test_a_write_that_was_done_and_killed_then_is_no_failure(served: World) -> None:
    break_writes(served, 'real "$@" <"$call"; kill -9 $$')
    assert served.apply().counts == (1, 1, 0)


@pytest.mark.watch_too
def test_a_run_that_is_killed_while_it_writes_writes_nothing_when_the_next_one_is_done(served: World) -> None:
    """What it started waits for a lock, say; it would bring back what is no longer wanted."""
    shims = served.shims
    assert shims is not None
    waits = shims.directory.parent / "waits"
    break_writes(served, f'touch {waits}; sleep 2; real "$@" <"$call"; exit')
    argv = served._inside(sys.executable, "-m", "nplconf", "apply", *served._options())
    with subprocess.Popen(argv, env=served._environment(), stdout=subprocess.DEVNULL) as run:
        until = time.monotonic() + 20
        while not waits.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        run.kill()
    (listing,) = worlds.read_objects(served.cluster)
    served.write(*(raw for raw in listing["items"] if raw["metadata"]["name"] in ("web-0", "web")))
    served.shims = None
    assert served.apply().counts == (1, 0, 0)
    rules = served.ours()

    time.sleep(2.2)  # as long as the other one would have taken

    assert served.ours() == rules
    assert still_serves(served)


@pytest.mark.watch_too
def test_warnings_are_no_failure(served: World) -> None:
    assert served.shims
    for program in PROGRAMS:
        served.shims.have(
            program, "echo '# Warning: iptables-legacy tables present, use iptables-legacy to see them' >&2"
        )
    applied = served.apply()
    assert (applied.code, applied.counts) == (0, (1, 1, 0))


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_write_that_hangs_is_ended_in_time(served: World) -> None:
    served.shims.have(f"iptables-{served.backend}-restore", f"if {WRITES_RULES}; then sleep 300; fi")  # type: ignore[union-attr]
    applied = served.apply()
    assert applied.code == 5
    assert "no answer within 20 s; it was ended" in failures(applied)
    assert applied.seconds < 40
    assert still_serves(served)


# --- iptables that says nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("exit 0", "says nothing"),
        ("exit 1", "exit code 1"),
        ("echo rubbish; exit 0", "rubbish"),
        ("echo \"# Table \\`nat' is incompatible, use 'nft' tool.\"; exit 0", "is incompatible"),
    ],
)
def test_an_iptables_that_cannot_be_read_is_unavailable_and_nothing_changes(
    served: World, behaviour: str, says: str
) -> None:
    before = served.rules()
    for program in PROGRAMS:
        served.shims.have(program, behaviour)  # type: ignore[union-attr]

    done = served.nplconf("apply")

    assert done.returncode == 69
    assert says in done.stderr
    assert served.rules() == before
    assert still_serves(served)


def test_without_iptables_the_message_says_what_to_install(served: World) -> None:
    for program in PROGRAMS:
        served.shims.lack(program)  # type: ignore[union-attr]

    done = served.nplconf("apply")

    assert done.returncode == 69
    assert "apt-get install iptables" in done.stderr


# --- the lock --------------------------------------------------------------------------------------------------------

LEGACY = pytest.mark.parametrize("backend", ["legacy"], indirect=True)
"""nft has no such lock."""


@pytest.fixture
def lock(served: World, tmp_path: Path) -> Iterator[int]:
    """The xtables lock of the node, which has a /run of its own, in another program's hands."""
    served.run_directory = tmp_path / "run"
    served.run_directory.mkdir()
    handle = os.open(served.run_directory / "xtables.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield handle
    os.close(handle)


@pytest.mark.watch_too
@LEGACY
def test_a_lock_that_is_freed_in_time_is_waited_for(served: World, lock: int) -> None:
    threading.Timer(3, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
    applied = served.apply()
    assert (applied.code, applied.counts) == (0, (1, 1, 0))
    assert applied.seconds > 2


@LEGACY
def test_a_lock_that_stays_is_named_and_nothing_changes(served: World, lock: int) -> None:
    applied = served.apply()
    assert applied.code == 5
    assert "xtables lock" in failures(applied)
    assert "shop/web-1:8080" in failures(applied)
    assert applied.seconds < 40
    assert still_serves(served)
    fcntl.flock(lock, fcntl.LOCK_UN)
    assert served.apply().counts == (1, 1, 0)
