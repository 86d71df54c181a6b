"""The demo, as a person runs it: it tells the story, is honest, and leaves nothing behind."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import BACKENDS
from rich.console import Console

from nplconf.cli.commands.demo import DemoError, stage
from nplconf.cli.commands.demo.cast import Cluster
from nplconf.cli.commands.demo.story import tell
from nplconf.cli.commands.demo.voice import Voice
from nplconf.errors import UnavailableError

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "nplconf", "demo")


def demo(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | environment
    return subprocess.run([*DEMO, *argv], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


def left_by(pid: int) -> list[str]:
    """What a demo with this process id left: namespaces, and processes that were started in them."""
    namespaces = [path.name for path in Path("/run/netns").glob(f"nplconf-demo-{pid}-*")]
    return [*namespaces, *(line for line in running() if f"nplconf-demo-{pid}-" in line)]


def running() -> Iterator[str]:
    """The command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.kernel
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_story_is_told_to_its_end_within_a_minute(backend: str) -> None:
    start = time.monotonic()
    told = demo("--backend", backend)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", told.stdout, re.MULTILINE) == list("1234567")
    assert told.stdout.count("✓") == 17
    assert "✗" not in told.stdout
    assert time.monotonic() - start < 60


@pytest.mark.kernel
def test_it_shows_what_is_left_after_one_of_two_services_stopped_asking() -> None:
    told = demo().stdout
    chapter = told[told.index("5. ") : told.index("6. ")]
    assert chapter.count("--to-destination 10.244.3.17:") == 1
    assert chapter.count('"podPort"') == 1
    assert re.search(r"is refused at once, in \d+ ms", chapter)
    assert "$ iptables-nft-save -t nat | grep" in chapter, "the program that was asked"
    assert "from the client: Network is unreachable\n" in told


@pytest.mark.kernel
def test_colour_is_for_terminals_and_for_who_asks() -> None:
    assert "\x1b[" not in demo().stdout
    assert "\x1b[32m+" in demo("--color", "always", TERM="xterm").stdout, "of the commands it runs, too"


@pytest.mark.kernel
def test_a_terminal_without_the_signs_is_told_the_story_too() -> None:
    told = demo(PYTHONIOENCODING="ascii")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.isascii()
    assert told.stdout.count("  ok ") == 17


def test_on_a_terminal_a_long_line_goes_on_under_itself_and_elsewhere_it_is_whole() -> None:
    row = "@ annotate shop/web-0: " + '{"podPort":9000},' * 20
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False)
        Voice(console, 0).command("nplconf apply", row)
        _, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert "".join(line.strip() for line in lines) == row.replace(": ", ":", int(terminal))
        assert (len(lines), max(map(len, lines)) <= 80) == ((6, True) if terminal else (1, False))
        assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", "3601"])
def test_a_pause_that_nobody_can_wait_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from nplconf.cli.main import main

    assert main(["demo", "--pause", text]) == 64
    assert "no number of seconds" in capsys.readouterr().err


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("chapter", ["1. ", "2. ", "5. "])
def test_a_demo_that_is_ended_takes_everything_with_it(number: signal.Signals, chapter: str) -> None:
    with subprocess.Popen(
        [*DEMO, "--pause", "0.3"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as playing:
        assert playing.stdout
        assert any(line.startswith(chapter) for line in playing.stdout)
        assert left_by(playing.pid), "the looking finds a demo that runs"
        playing.send_signal(number)
        _, errors = playing.communicate(timeout=30)
    assert playing.returncode == 128 + number
    assert "Traceback" not in errors
    assert left_by(playing.pid) == []


@pytest.mark.kernel
def test_a_demo_that_shows_something_else_than_it_says_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "stop_asking", lambda _self, _service: None)
    with pytest.raises(DemoError, match="one entry is left"), stage.built("auto") as built:
        tell(built, Voice.on_stdout("never", 0))
    assert left_by(os.getpid()) == []


@pytest.mark.kernel
def test_it_cares_for_nothing_that_is_configured_here() -> None:
    told = demo(NPLCONF_PORT_RANGE="1-2", NPLCONF_CONFIG="/none", NODE_NAME="other", KUBECONFIG="/none")
    assert told.returncode == 0, told.stdout + told.stderr


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from nplconf.cli.main import main

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["demo"]) == 77
    assert "run it as root" in capsys.readouterr().err


@pytest.mark.kernel
def test_on_nftables_it_shows_the_element_that_is_left() -> None:
    told = demo("--backend", "nftables").stdout
    chapter = told[told.index("5. ") : told.index("6. ")]
    assert "$ nft list map inet nplconf tcp-ipv4 | grep -Eo " in chapter
    element = r'^ +(\d+) comment "nplconf:shop/web-0:\d+:[^"]+" : 10\.244\.3\.17 \. \d+$'
    (number,) = re.findall(element, chapter, re.MULTILINE)
    assert f'"nodePort":{number},' in chapter


def test_where_nftables_is_used_no_iptables_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(stage.shutil, "which", lambda program, **_: None if "iptables" in program else program)
    for backend in ("auto", "nftables"):
        stage.check_props(backend)
        assert stage.uses_nftables(backend)
    with pytest.raises(UnavailableError, match=r"apt-get install iptables$"):
        stage.check_props("iptables-nft")


def test_a_missing_program_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(stage.shutil, "which", lambda program, **_: program if program in stage.PROPS else None)
    with pytest.raises(UnavailableError, match=r"apt-get install iptables$"):
        stage.check_props("auto")
