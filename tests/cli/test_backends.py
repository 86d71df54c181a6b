"""`nplconf backends` as its user calls it, with a file as the cluster."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds
from pytest_mock import MockerFixture

from nplconf.cli.commands import backends
from nplconf.cli.main import main

Run = Callable[..., int]


def pod(name: str, number: int, **facts: Any) -> dict[str, Any]:
    entries = [{"podPort": 8080, "nodeIP": "10.10.10.10", "nodePort": number, "protocol": "tcp", "ipFamily": "IPv4"}]
    raw = worlds.raw_pod(name, annotations={worlds.ANNOTATION: json.dumps(entries)}, **facts)
    raw["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return raw


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A cluster with one Service and one Pod."""
    path = tmp_path / "cluster.json"
    write(path, pod("web-0", 61001))
    return path


def write(path: Path, *pods: dict[str, Any]) -> None:
    worlds.write_objects(path, worlds.raw_list(worlds.raw_service("web", [(80, 8080, "TCP")]), *pods))


@pytest.fixture
def run(dump: Path) -> Run:
    return lambda *argv: main(["backends", *argv, "--cluster-state", str(dump)])


def test_the_list_is_json_unless_a_format_is_given(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert (service["service"], service["backends"][0]["nodePort"]) == ("web", 61001)
    assert run("shop/web:80", "--format", "haproxy") == 0
    assert "server web-0 10.10.10.10:61001 weight 1" in capsys.readouterr().out


def test_the_file_is_replaced_and_the_command_runs_only_when_the_list_changes(
    run: Run, dump: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "backends.cfg", tmp_path / "log"
    change = json.dumps(["sh", "-c", f'echo "$1" >> {log}', "sh", "two words; $HOME"])
    arguments = ("--format", "nginx", "--out", str(out), "--on-change", change)
    assert run(*arguments) == 0
    first = out.stat().st_ino
    assert run(*arguments) == 0
    assert (out.stat().st_ino, log.read_text()) == (first, "two words; $HOME\n")
    write(dump, pod("web-0", 61002))
    assert run(*arguments) == 0
    assert out.stat().st_ino != first
    assert "61002" in out.read_text()
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [("false", "exit code 1"), ("/nowhere/reload", "not installed"), ('sh -c "echo no >&2; exit 3"', "no")],
)
def test_a_command_that_fails_is_named_and_the_file_is_written(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    out = tmp_path / "backends.cfg"
    assert run("--format", "haproxy", "--out", str(out), "--on-change", command) == 5
    assert out.exists()
    assert message in capsys.readouterr().err


def test_a_template_writes_the_list(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "list.j2"
    template.write_text("{% for s in services %}{{ s.id }}{% endfor %}")
    assert run("--template", str(template)) == 0
    assert capsys.readouterr().out == "shop_web_80"
    template.write_text("{{ nothing }}")
    assert run("--template", str(template)) == 65
    assert run("--template", str(tmp_path / "missing.j2")) == 65


@pytest.mark.parametrize(
    "arguments",
    [
        ("web",),
        ("shop/web:0",),
        ("shop/web:65536",),
        ("shop/web:http",),
        ("shop/web/80",),
        ("Shop/web",),
        ("--format", "toml"),
        ("--format", "json", "--template", "x"),
        ("--on-change", "true"),
        ("--on-change", "", "--out", "x"),
        ("--on-change", '["a",', "--out", "x"),
        ("--follow", "--cluster-state", "-"),
    ],
)
def test_contradictory_options_are_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 64


def test_the_command_of_the_config_file_is_a_list(run: Run, tmp_path: Path) -> None:
    config, out = tmp_path / "config.yaml", tmp_path / "out"
    config.write_text(f"onChange: [touch, '{tmp_path}/a file']\n")
    assert run("--config", str(config), "--out", str(out)) == 0
    assert (tmp_path / "a file").exists()
    config.write_text("onChange: touch x\n")
    assert run("--config", str(config), "--out", str(out)) == 78


# --- following -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def following(dump: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-m", "nplconf", "backends", "--follow", "--cluster-state", str(dump), *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def eventually(what: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_change_is_followed_and_sigterm_ends_it(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with following(dump, "--format", "haproxy", "--out", str(out)) as process:
        eventually(out.exists)
        write(dump, pod("web-0", 61001), pod("web-1", 61002))
        eventually(lambda: "web-1" in out.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_cluster_that_cannot_be_read_leaves_the_last_list(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with following(dump, "--out", str(out)) as process:
        eventually(out.exists)
        before = out.read_text()
        dump.write_text("{")
        time.sleep(2.5)
        assert out.read_text() == before
        write(dump, pod("web-0", 61009))
        eventually(lambda: "61009" in out.read_text())
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate(timeout=5)
    assert "the last list stays as it is" in message


def test_a_command_that_fails_runs_again_until_it_succeeds(dump: Path, tmp_path: Path) -> None:
    good, log = tmp_path / "good", tmp_path / "log"
    command = json.dumps(["sh", "-c", f"echo x >> {log}; test -e {good}"])
    with following(dump, "--out", str(tmp_path / "out"), "--on-change", command):
        eventually(lambda: log.exists() and len(log.read_text()) >= 4)
        good.touch()
        before = len(log.read_text())
        eventually(lambda: len(log.read_text()) > before)
        time.sleep(2.5)
        assert len(log.read_text()) <= before + 4


def test_without_a_file_each_list_is_printed_once(dump: Path) -> None:
    with following(dump, "--format", "nginx", "--resync", "1") as process:
        time.sleep(3.0)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=5)
    assert out.count("upstream shop_web_80") == 1


def test_attempts_after_failures_do_not_pile_up(mocker: MockerFixture) -> None:
    timers = [mocker.Mock() for _ in range(3)]
    mocker.patch("threading.Timer", side_effect=timers)
    output = mocker.Mock(write=mocker.Mock(return_value=False))
    job = backends.FollowJob(output, mocker.Mock(), mocker.Mock(), 30)
    for _ in range(3):
        assert job.run(frozenset({"resync"})) == "the last attempt failed"
    assert [timer.cancel.called for timer in timers] == [True, True, False]
