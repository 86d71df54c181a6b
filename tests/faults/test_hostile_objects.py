"""Any text in the cluster may be hostile: it stops no other Pod from being served and reaches no terminal."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import watching
import worlds
from changing import Site
from echo import Answer
from interrupted import Runner
from watching import WatchRunner
from worlds import annotations

pytestmark = pytest.mark.kernel
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
HOSTILE = {
    "a terminal's commands": "\x1b[2J\x1b]0;owned\x07",
    "eight bit controls": "\x9b31m\x7f\x85",
    "a line's end": "a\nNAME=b",
    "a NUL": "a\x00b",
    "a command of iptables": "x\nCOMMIT\n*filter\n-P INPUT DROP\nCOMMIT",
    "options of iptables": '" -j ACCEPT -m comment --comment "',
    "an octal number": "061000",
    "a shell's": "$(touch {pwned}); `touch {pwned}`; touch {pwned}",
    "a path": "../../../../{pwned}",
    "half a surrogate pair": "\ud800",
    "another direction": "\u202egnp.exe\u2066",
    "a format": "%s%n{0.__class__}",
    "markup": "<script>alert(1)</script>|[x](javascript:y)",
    "without an end": "x" * 70_000,
    "nothing": "",
}
COMMANDS = (
    ("plan",),
    ("plan", "-o", "markdown"),
    ("verify",),
    ("show", "-o", "json"),
    ("explain", "shop/web-0"),
    ("apply", "-q", "--log-format", "json"),
    ("apply", "-o", "yaml"),
)


def pod() -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 80, "protocol": "TCP", "hostIP": "0.0.0.0"}]
    published = {worlds.ANNOTATION: "[]", "other": "x"}
    return worlds.raw_pod("bad", ["10.244.9.9"], labels={"bad": "yes"}, annotations=published, ports=ports)


def service() -> dict[str, Any]:
    raw = worlds.raw_service("bad", [(80, "http", "TCP")])
    raw["spec"] |= {"selector": {"bad": "yes"}, "clusterIP": "10.96.0.9"}
    return raw


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text in an object."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in rows:
        if key not in ("kind", "apiVersion"):  # the API server writes these, and no user
            yield from strings(inner, (*path, key))
    if isinstance(value, str):
        yield path


def each_with(raw: dict[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """The object as often as it has texts, each time with another one of them replaced."""
    for number, path in enumerate(strings(raw)):
        if not text and path == ("metadata", "name"):
            continue  # the API server refuses an object without a name; in a file it is an error
        changed = copy.deepcopy(raw)
        changed["metadata"] |= {"name": f"bad-{number}", "uid": f"uid-bad-{number}"}
        if changed["kind"] == "Pod":
            ip = f"10.244.9.{number + 1}"
            changed["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        at = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = text
        yield changed


@pytest.fixture
def runner(node: Site) -> Iterator[Runner | WatchRunner]:
    with watching.runner(node) as runner:
        yield runner


@pytest.mark.watch_too
def test_no_text_of_an_object_stops_the_others_from_being_served_or_reaches_a_terminal(
    node: Site, runner: Runner | WatchRunner, tmp_path: Path
) -> None:
    pwned = tmp_path / "pwned"
    good, asks = node.objects[0], worlds.raw_service("good")
    asks["spec"]["selector"] = {"app": "web-0"}
    number, turn = node.number(), 0
    for text in HOSTILE.values():
        evil = text.replace("{pwned}", str(pwned))
        node.write(*each_with(pod(), evil), good, asks, *each_with(service(), evil))
        commands = (("apply", "-o", "json"), COMMANDS[turn % len(COMMANDS)], ("apply",))
        for command in commands[2:] if node.driver else commands:
            turn += 1
            run = runner.run(*command)
            assert run.code == 0, (command, text, run.out, run.stderr)
            assert not CONTROL.search(run.out + run.stderr), (command, text)
        assert node.number() == number
        assert f'"nodePort":{number}' in str(annotations(node.cluster)["web-0"])
        assert node.ask("client", "10.10.10.10", number) == Answer("web-0", 8080, "10.10.10.77")
    assert not pwned.exists()
    assert node.rules(table="filter") == [":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"]


def test_what_is_hostile_is_skipped_by_name_with_its_reason(node: Site, runner: Runner) -> None:
    node.write(*each_with(pod(), HOSTILE["a terminal's commands"]), service())
    run = runner.run("plan", "-o", "json")
    reasons = {row["pod"]: row["reason"] for row in json.loads(run.out)["skipped"]}
    assert {"name-invalid", "pod-ip-invalid"} <= set(reasons.values())
    assert any("\\x1b[2J" in str(name) for name in reasons)
