"""The demo as a person runs it: its claims, its output, and that it removes everything."""

import contextlib
import functools
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

from nplconf.cli.commands.demo import DemoError, testbed
from nplconf.cli.commands.demo.chapters import play
from nplconf.cli.commands.demo.cluster import DemoCluster
from nplconf.cli.commands.demo.transcript import Transcript
from nplconf.errors import UnavailableError

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "nplconf", "demo")


def demo(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | environment
    return subprocess.run([*DEMO, *argv], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


@functools.cache
def played(*argv: str) -> tuple["subprocess.CompletedProcess[str]", float]:
    """Return what a demo printed, and the seconds it took. It is played once for all tests that read its output."""
    start = time.monotonic()
    return demo(*argv), time.monotonic() - start


def left_by(pid: int) -> list[str]:
    """Return the namespaces and processes that a demo with this process ID left."""
    namespaces = [path.name for path in Path("/run/netns").glob(f"nplconf-demo-{pid}-*")]
    return [*namespaces, *(line for line in running() if f"nplconf-demo-{pid}-" in line)]


def running() -> Iterator[str]:
    """Yield the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.kernel
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_chapters_pass_within_a_minute(backend: str) -> None:
    done, seconds = played("--backend", backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE) == list("1234567")
    assert done.stdout.count("✓") == 17
    assert "✗" not in done.stdout
    assert seconds < 60


@pytest.mark.kernel
def test_one_entry_and_one_rule_are_left_after_a_service_stops_asking() -> None:
    done = played()[0].stdout
    chapter = done[done.index("5. ") : done.index("6. ")]
    assert chapter.count("--to-destination 10.244.3.17:") == 1
    assert chapter.count('"podPort"') == 1
    assert re.search(r"is refused at once, in \d+ ms", chapter)
    assert "$ iptables-nft-save -t nat | grep" in chapter, "the program that was asked"
    assert "from the client: Network is unreachable\n" in done


@pytest.mark.kernel
def test_colour_on_terminals_and_on_request() -> None:
    assert "\x1b[" not in played()[0].stdout
    assert "\x1b[32m+" in demo("--color", "always", TERM="xterm").stdout, "of the commands it runs, too"


@pytest.mark.kernel
def test_a_terminal_without_the_symbols_gets_ascii() -> None:
    done = demo(PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert done.stdout.count("  ok ") == 17


def test_a_long_line_is_wrapped_on_a_terminal_and_whole_elsewhere() -> None:
    row = "@ annotate shop/web-0: " + '{"podPort":9000},' * 20
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False)
        Transcript(console, 0).command("nplconf apply", row)
        _, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert "".join(line.strip() for line in lines) == row.replace(": ", ":", int(terminal))
        assert (len(lines), max(map(len, lines)) <= 80) == ((6, True) if terminal else (1, False))
        assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", "3601"])
def test_an_impossible_pause_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from nplconf.cli.main import main

    assert main(["demo", "--pause", text]) == 64
    assert "no number of seconds" in capsys.readouterr().err


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("chapter", ["1. ", "2. ", "5. "])
def test_an_interrupted_demo_removes_everything(number: signal.Signals, chapter: str) -> None:
    with subprocess.Popen(
        [*DEMO, "--pause", "0.3"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as playing:
        assert playing.stdout
        assert any(line.startswith(chapter) for line in playing.stdout)
        assert left_by(playing.pid), "left_by finds a running demo"
        playing.send_signal(number)
        _, errors = playing.communicate(timeout=30)
    assert playing.returncode == 128 + number
    assert "Traceback" not in errors
    assert left_by(playing.pid) == []


@pytest.mark.kernel
def test_a_false_claim_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DemoCluster, "stop_asking", lambda _self, _service: None)
    with pytest.raises(DemoError, match="one entry is left"), testbed.built("auto") as built:
        play(built, Transcript.on_stdout("never", 0))
    assert left_by(os.getpid()) == []


@pytest.mark.kernel
def test_the_own_configuration_has_no_influence() -> None:
    done = demo(NPLCONF_PORT_RANGE="1-2", NPLCONF_CONFIG="/none", NODE_NAME="other", KUBECONFIG="/none")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_root_it_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from nplconf.cli.main import main

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["demo"]) == 77
    assert "run it as root" in capsys.readouterr().err


@pytest.mark.kernel
def test_on_nftables_it_shows_the_element_that_is_left() -> None:
    done = played("--backend", "nftables")[0].stdout
    chapter = done[done.index("5. ") : done.index("6. ")]
    assert "$ nft list map inet nplconf tcp-ipv4 | grep -Eo " in chapter
    element = r'^ +(\d+) comment "nplconf:shop/web-0:\d+:[^"]+" : 10\.244\.3\.17 \. \d+$'
    (number,) = re.findall(element, chapter, re.MULTILINE)
    assert f'"nodePort":{number},' in chapter


def test_no_iptables_is_needed_on_nftables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(testbed.shutil, "which", lambda program, **_: None if "iptables" in program else program)
    for backend in ("auto", "nftables"):
        testbed.check_requirements(backend)
        assert testbed.uses_nftables(backend)
    with pytest.raises(UnavailableError, match=r"apt-get install iptables$"):
        testbed.check_requirements("iptables-nft")


def test_a_missing_program_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(testbed.shutil, "which", lambda program, **_: program if program in testbed.PROGRAMS else None)
    with pytest.raises(UnavailableError, match=r"apt-get install iptables$"):
        testbed.check_requirements("auto")
