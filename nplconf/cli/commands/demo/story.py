"""The chapters. What they claim is looked up in the kernel, in the Pods' annotations, or by a request of the client."""

from nplconf.cli.commands.demo import DemoError
from nplconf.cli.commands.demo.cast import API, CLIENT_IP, NODE_IP, SERVICES, WEB, Player
from nplconf.cli.commands.demo.stage import PORT_RANGE, Stage
from nplconf.cli.commands.demo.voice import Voice
from nplconf.model import ENABLED

REFUSED_WITHIN_MS = 1000
APPLY = ("apply", "--config", "node.yaml")


def tell(stage: Stage, voice: Voice) -> None:
    """The whole story, on a stage that is built. DemoError where it goes another way."""
    _scene(stage, voice)
    _numbers_are_held(stage, voice)
    _apply(stage, voice)
    numbers = _requests(stage, voice)
    _one_service_less(stage, voice, numbers)
    _again(stage, voice)
    _all_gone(stage, voice)


def _nplconf(stage: Stage, voice: Voice, *argv: str, show: bool = True) -> str:
    """Run nplconf as its operator would, and show both; its output."""
    color = "always" if voice.coloured else "never"
    done = stage.nplconf(*argv, "--color", color, COLUMNS=str(voice.width))
    if show or done.returncode:
        voice.command(" ".join(("nplconf", *argv)), done.stdout)
    if done.returncode:
        raise DemoError(f"demo: nplconf {argv[0]} ended with {done.returncode}")
    return done.stdout


def _scene(stage: Stage, voice: Voice) -> None:
    voice.chapter("A node, two Pods, and a client outside that cannot reach them")
    voice.say(f"client {CLIENT_IP} ─── {NODE_IP} node ─┬─ {WEB.ip} {WEB.name}, ports {WEB.ports[0]}, {WEB.ports[1]}")
    voice.say(f"                                      └─ {API.ip} {API.name}, port {API.ports[0]}")
    voice.say(f"Services {', '.join(SERVICES)} have {ENABLED}:")
    voice.say("each of their Pod ports wants a number of the node.")
    tried = stage.actor("client", "ask", WEB.ip, str(WEB.ports[0]))
    voice.expect(f"http://{WEB.ip}:{WEB.ports[0]}  from the client: {tried.get('error')}", "error" in tried, tried)


def _numbers_are_held(stage: Stage, voice: Voice) -> None:
    voice.chapter("The hold daemon takes every number of the range, so that nothing else can")
    voice.command("nplconf hold --config node.yaml &")
    stage.start_daemon()
    first, last = PORT_RANGE.split("-")
    for number in (first, last):
        tried = stage.actor("node", "bind", number)
        voice.expect(f"another program that binds {number} is told: {tried['error']}", not tried["bound"], tried)


def _apply(stage: Stage, voice: Voice) -> None:
    voice.chapter("One run makes the node match, looks again, and publishes what it saw")
    _nplconf(stage, voice, "render", "--config", "node.yaml", "--out", "plan.yaml")
    voice.command("grep -A8 -m1 nodePort plan.yaml", _first_mapping((stage.directory / "plan.yaml").read_text()))
    _nplconf(stage, voice, *APPLY)
    for player in (WEB, API):
        voice.expect(
            f"{player.name} is published with {_counted(player.ports, 'port')}",
            set(stage.cluster.published(player)) == set(player.ports),
            stage.cluster.annotation(player),
        )


def _requests(stage: Stage, voice: Voice) -> dict[int, int]:
    """Pod port -> node port of web-0, each of which was just used."""
    voice.chapter("Requests from outside reach every port; Pods see the client's own address")
    for player in (WEB, API):
        for port, number in stage.cluster.published(player).items():
            _answered(stage, voice, player, port, number)
    return stage.cluster.published(WEB)


def _answered(stage: Stage, voice: Voice, player: Player, port: int, number: int) -> None:
    seen = stage.actor("client", "ask", NODE_IP, str(number))
    voice.expect(
        f"http://{NODE_IP}:{number}  answered by {player.name} port {port}, which saw {CLIENT_IP}",
        seen.get("answer") == {"pod": player.name, "port": port, "client": CLIENT_IP},
        seen,
    )


def _one_service_less(stage: Stage, voice: Voice, numbers: dict[int, int]) -> None:
    _, (kept, dropped) = SERVICES["web-2"], WEB.ports
    voice.chapter("Service web-2 stops asking: one mapping goes (Antrea's issue 6281)")
    voice.command(f"kubectl annotate service web-2 {ENABLED}-")
    stage.cluster.stop_asking("web-2")
    _nplconf(stage, voice, *APPLY)
    voice.expect(
        f"{WEB.name}: one entry is left, with the number it had",
        stage.cluster.published(WEB) == {kept: numbers[kept]},
        stage.cluster.annotation(WEB),
    )
    _one_rule_left(stage, voice, numbers[kept])
    _answered(stage, voice, WEB, kept, numbers[kept])
    seen = stage.actor("client", "ask", NODE_IP, str(numbers[dropped]))
    voice.expect(
        f"http://{NODE_IP}:{numbers[dropped]}  is refused at once, in {seen['ms']:.0f} ms",
        bool(seen.get("refused")) and seen["ms"] < REFUSED_WITHIN_MS,
        seen,
    )


def _one_rule_left(stage: Stage, voice: Voice, number: int) -> None:
    command, to_web = stage.rules_to(WEB.ip)
    voice.command(command, "\n".join(to_web))
    voice.expect(f"{WEB.name}: one rule is left", len(to_web) == 1 and f"{number} " in to_web[0], to_web)


def _again(stage: Stage, voice: Voice) -> None:
    voice.chapter("A second run has nothing to do, and does nothing")
    rules, cluster = stage.rules(), stage.cluster.file.stat()
    _nplconf(stage, voice, *APPLY)
    voice.expect("no rule changed", stage.rules() == rules, stage.rules())
    voice.expect("no Pod was written", stage.cluster.file.stat() == cluster)
    _nplconf(stage, voice, "verify", "--config", "node.yaml", show=False)
    voice.expect("rule, hold and annotation of every mapping agree (nplconf verify)", True)


def _all_gone(stage: Stage, voice: Voice) -> None:
    voice.chapter("And away with all of it")
    _nplconf(stage, voice, "cleanup", "--config", "node.yaml")
    voice.expect("no rule and no chain of ours is left", stage.rules() == [], stage.rules())
    left = [stage.cluster.annotation(player) for player in (WEB, API)]
    voice.expect("no annotation has an entry", left == ["[]", "[]"], left)


def _first_mapping(plan: str) -> str:
    """Its lines in a plan file."""
    lines = plan.splitlines()
    start = next(i for i, line in enumerate(lines) if "nodePort:" in line)
    return "\n".join(lines[start : start + 9])


def _counted(things: tuple[int, ...], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"
