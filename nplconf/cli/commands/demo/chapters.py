"""The chapters of the demo.

Each claim is checked in the kernel, in the Pods' annotations, or by a request of the client.
"""

from nplconf.cli.commands.demo import DemoError
from nplconf.cli.commands.demo.cluster import API, CLIENT_IP, NODE_IP, SERVICES, WEB, DemoPod
from nplconf.cli.commands.demo.testbed import PORT_RANGE, Testbed
from nplconf.cli.commands.demo.transcript import Transcript
from nplconf.model import ENABLED

REFUSED_WITHIN_MS = 1000
APPLY = ("apply", "--config", "node.yaml")


def play(testbed: Testbed, transcript: Transcript) -> None:
    """Run all chapters on a testbed. Raises DemoError if a check fails."""
    _no_route(testbed, transcript)
    _ports_are_held(testbed, transcript)
    _apply(testbed, transcript)
    numbers = _requests(testbed, transcript)
    _one_service_stops(testbed, transcript, numbers)
    _second_run(testbed, transcript)
    _cleanup(testbed, transcript)


def _nplconf(testbed: Testbed, transcript: Transcript, *argv: str, show: bool = True) -> str:
    """Run nplconf on the node, show command and output, and return the output."""
    color = "always" if transcript.coloured else "never"
    done = testbed.nplconf(*argv, "--color", color, COLUMNS=str(transcript.width))
    if show or done.returncode:
        transcript.command(" ".join(("nplconf", *argv)), done.stdout)
    if done.returncode:
        raise DemoError(f"demo: nplconf {argv[0]} ended with {done.returncode}")
    return done.stdout


def _no_route(testbed: Testbed, transcript: Transcript) -> None:
    transcript.chapter("A node, two Pods, and a client outside that cannot reach them")
    transcript.line(
        f"client {CLIENT_IP} ─── {NODE_IP} node ─┬─ {WEB.ip} {WEB.name}, ports {WEB.ports[0]}, {WEB.ports[1]}"
    )
    transcript.line(f"                                      └─ {API.ip} {API.name}, port {API.ports[0]}")
    transcript.line(f"Services {', '.join(SERVICES)} have {ENABLED}:")
    transcript.line("each of their Pod ports gets a port of the node.")
    tried = testbed.program("client", "ask", WEB.ip, str(WEB.ports[0]))
    transcript.expect(f"http://{WEB.ip}:{WEB.ports[0]}  from the client: {tried.get('error')}", "error" in tried, tried)


def _ports_are_held(testbed: Testbed, transcript: Transcript) -> None:
    transcript.chapter("The hold daemon binds every port of the range, so that no other program can")
    transcript.command("nplconf hold --config node.yaml &")
    testbed.start_daemon()
    first, last = PORT_RANGE.split("-")
    for number in (first, last):
        tried = testbed.program("node", "bind", number)
        transcript.expect(f"another program that binds {number} fails: {tried['error']}", not tried["bound"], tried)


def _apply(testbed: Testbed, transcript: Transcript) -> None:
    transcript.chapter("One run writes the rules, verifies them, and publishes the mappings")
    _nplconf(testbed, transcript, "render", "--config", "node.yaml", "--out", "plan.yaml")
    transcript.command("grep -A8 -m1 nodePort plan.yaml", _first_mapping((testbed.directory / "plan.yaml").read_text()))
    _nplconf(testbed, transcript, *APPLY)
    for pod in (WEB, API):
        transcript.expect(
            f"{pod.name} is published with {_counted(pod.ports, 'port')}",
            set(testbed.cluster.published(pod)) == set(pod.ports),
            testbed.cluster.annotation(pod),
        )


def _requests(testbed: Testbed, transcript: Transcript) -> dict[int, int]:
    """Send a request to each port. Return Pod port -> node port of web-0."""
    transcript.chapter("Requests from outside reach every port; Pods see the client's own address")
    for pod in (WEB, API):
        for port, number in testbed.cluster.published(pod).items():
            _answered(testbed, transcript, pod, port, number)
    return testbed.cluster.published(WEB)


def _answered(testbed: Testbed, transcript: Transcript, pod: DemoPod, port: int, number: int) -> None:
    seen = testbed.program("client", "ask", NODE_IP, str(number))
    transcript.expect(
        f"http://{NODE_IP}:{number}  answered by {pod.name} port {port}, which saw {CLIENT_IP}",
        seen.get("answer") == {"pod": pod.name, "port": port, "client": CLIENT_IP},
        seen,
    )


def _one_service_stops(testbed: Testbed, transcript: Transcript, numbers: dict[int, int]) -> None:
    _, (kept, dropped) = SERVICES["web-2"], WEB.ports
    transcript.chapter("Service web-2 stops asking: one mapping is removed (Antrea's issue 6281)")
    transcript.command(f"kubectl annotate service web-2 {ENABLED}-")
    testbed.cluster.stop_asking("web-2")
    _nplconf(testbed, transcript, *APPLY)
    transcript.expect(
        f"{WEB.name}: one entry is left, with the same node port",
        testbed.cluster.published(WEB) == {kept: numbers[kept]},
        testbed.cluster.annotation(WEB),
    )
    _one_rule_left(testbed, transcript, numbers[kept])
    _answered(testbed, transcript, WEB, kept, numbers[kept])
    seen = testbed.program("client", "ask", NODE_IP, str(numbers[dropped]))
    transcript.expect(
        f"http://{NODE_IP}:{numbers[dropped]}  is refused at once, in {seen['ms']:.0f} ms",
        bool(seen.get("refused")) and seen["ms"] < REFUSED_WITHIN_MS,
        seen,
    )


def _one_rule_left(testbed: Testbed, transcript: Transcript, number: int) -> None:
    command, to_web = testbed.rules_to(WEB.ip)
    transcript.command(command, "\n".join(to_web))
    transcript.expect(f"{WEB.name}: one rule is left", len(to_web) == 1 and f"{number} " in to_web[0], to_web)


def _second_run(testbed: Testbed, transcript: Transcript) -> None:
    transcript.chapter("A second run changes nothing")
    rules, cluster = testbed.rules(), testbed.cluster.file.stat()
    _nplconf(testbed, transcript, *APPLY)
    transcript.expect("no rule changed", testbed.rules() == rules, testbed.rules())
    transcript.expect("no Pod was written", testbed.cluster.file.stat() == cluster)
    _nplconf(testbed, transcript, "verify", "--config", "node.yaml", show=False)
    transcript.expect("rule, hold and annotation of every mapping agree (nplconf verify)", True)


def _cleanup(testbed: Testbed, transcript: Transcript) -> None:
    transcript.chapter("Cleanup removes everything")
    _nplconf(testbed, transcript, "cleanup", "--config", "node.yaml")
    transcript.expect("no rule or chain of nplconf is left", testbed.rules() == [], testbed.rules())
    left = [testbed.cluster.annotation(pod) for pod in (WEB, API)]
    transcript.expect("no annotation has an entry", left == ["[]", "[]"], left)


def _first_mapping(plan: str) -> str:
    """Return the lines of the first mapping in a plan file."""
    lines = plan.splitlines()
    start = next(i for i, line in enumerate(lines) if "nodePort:" in line)
    return "\n".join(lines[start : start + 9])


def _counted(things: tuple[int, ...], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"
