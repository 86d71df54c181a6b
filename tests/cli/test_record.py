"""The record of a run: its metrics, and the time of the last success."""

import base64
import json
import os
import time
from collections.abc import Iterator
from math import isnan
from pathlib import Path

import pytest
import worlds
from netns import World, inside, world
from prometheus_client.parser import text_string_to_metric_families
from shims import Shims

from nplconf import __version__, errors
from nplconf.cli import record
from nplconf.cli.connections import connect
from nplconf.cluster.api import credentials
from nplconf.errors import UnavailableError
from nplconf.model import ACTIONS, FINDING_KINDS
from nplconf.node import counters
from nplconf.node import last_success as success
from nplconf.node.counters import Counters
from nplconf.node.last_success import Success
from nplconf.run.outcome import Result
from nplconf.settings import Settings

pytestmark = pytest.mark.kernel

Samples = dict[tuple[str, tuple[str, ...]], float]
NAMES = {
    "last_success_timestamp_seconds",
    "last_attempt_timestamp_seconds",
    "last_run_exit_status",
    "run_duration_seconds",
    "mappings",
    "last_run_changes",
    "findings",
    "range_ports",
    "range_ports_used",
    "blocked",
    "stale",
    "draining",
    "credentials_expiry_timestamp_seconds",
    "runs_total",
    "changes_total",
    "failures_total",
    "build_info",
}
COUNTERS = {"nplconf_runs", "nplconf_changes", "nplconf_failures"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator["Node"]:
    with world(tmp_path, "nft") as made:
        made.write(made.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
        yield Node(made)


class Node:
    """A node whose runs write metrics."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.file = world.directory / "nplconf.prom"

    def apply(self, *arguments: str) -> int:
        done = self.world.nplconf("apply", f"--textfile={self.file}", *arguments)
        assert "Traceback" not in done.stderr
        return done.returncode

    def metrics(self) -> Samples:
        """(name without prefix, label values) -> value."""
        return samples(self.file.read_text())


def samples(text: str) -> Samples:
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type == ("counter" if family.name in COUNTERS else "gauge")
        for sample in family.samples:
            assert sample.timestamp is None
            found[
                sample.name.removeprefix("nplconf_"), tuple(sample.labels[label] for label in sorted(sample.labels))
            ] = sample.value
    return found


def test_a_good_run_leaves_every_metric(node: Node) -> None:
    before = time.time()
    assert node.apply() == 0
    found = node.metrics()
    assert {name for name, _ in found} == NAMES
    assert found["last_run_exit_status", ()] == 0
    assert before <= found["last_success_timestamp_seconds", ()] == found["last_attempt_timestamp_seconds", ()]
    assert 0 < found["run_duration_seconds", ()] < 60
    assert found["mappings", ("live",)] == found["mappings", ("planned",)] == 1
    assert {action: found["last_run_changes", (action,)] for action in ACTIONS} == {
        "add": 1,
        "change": 0,
        "delete": 0,
        "repair": 0,
    }
    assert {kind: found["findings", (kind,)] for kind in FINDING_KINDS} == dict.fromkeys(FINDING_KINDS, 0)
    assert (found["range_ports", ()], found["range_ports_used", ()], found["blocked", ()]) == (1001, 1, 0)
    assert found["build_info", ("iptables-nft", __version__)] == 1


def test_the_collector_can_read_the_textfile_which_is_never_incomplete(node: Node) -> None:
    node.file.write_text("old")
    node.file.chmod(0o600)
    assert node.apply() == 0
    assert node.file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in node.file.parent.glob("*nplconf.prom*")] == ["nplconf.prom"]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (65, ["--cluster-state=/nowhere"]),
        (78, ["--config={wrong}"]),
        (65, ["/nowhere.yaml"]),
        (64, ["--no-cluster"]),
    ],
)
def test_a_failed_run_keeps_the_last_success_and_counts_what_is_there(
    node: Node, code: int, arguments: list[str]
) -> None:
    assert node.apply() == node.apply() == 0
    good = node.metrics()
    wrong = node.world.directory / "config.yaml"
    wrong.write_text(f"bogus: 1\ntextfile: {node.file}\n")
    assert node.apply(*(word.format(wrong=wrong) for word in arguments)) == code
    found = node.metrics()
    assert {name for name, _ in found} == NAMES
    assert found["last_run_exit_status", ()] == code
    assert found["last_attempt_timestamp_seconds", ()] > good["last_attempt_timestamp_seconds", ()]
    assert found["mappings", ("live",)] == 1
    assert found["last_success_timestamp_seconds", ()] == good["last_success_timestamp_seconds", ()]


ERRORS = [*errors.NplconfError.__subclasses__(), ZeroDivisionError]


@pytest.mark.parametrize("error", ERRORS)
def test_however_a_run_ends_the_metrics_say_so(node: Node, error: type[Exception]) -> None:
    def run() -> Result:
        raise error("no")

    settings = Settings(node="worker-1", state_dir="/nowhere", textfile=str(node.file))
    with inside(node.world.node), pytest.raises(error):
        record.recorded(settings, connect(settings), run)
    found = node.metrics()
    assert {name for name, _ in found} == NAMES
    assert found["last_run_exit_status", ()] == getattr(error, "exit_code", 1)
    assert found["last_success_timestamp_seconds", ()] == 0
    assert found["blocked", ()] == (getattr(error, "exit_code", 1) == 4)


@pytest.mark.parametrize("before", ["", "nplconf_last_success_timestamp_seconds", "\0", "future"])
def test_a_textfile_that_makes_no_sense_says_nothing_of_the_last_success(node: Node, before: str) -> None:
    tomorrow = f"nplconf_last_success_timestamp_seconds {time.time() + 86400}\n"
    node.file.write_text(tomorrow if before == "future" else before)
    assert node.apply("--cluster-state=/nowhere") == 65
    assert node.metrics()["last_success_timestamp_seconds", ()] == 0


def test_a_blocked_run_reports_it(node: Node) -> None:
    pods = [worlds.raw_pod(f"p{i}", [f"10.244.9.{i}"]) for i in range(1, 13)]
    node.world.write(*pods, worlds.raw_service("web", [(80, 8080, "TCP")]))
    assert node.apply() == 0
    node.world.write()
    assert node.apply() == 4
    found = node.metrics()
    assert (found["blocked", ()], found["mappings", ("live",)]) == (1, 12)


def test_what_cannot_be_counted_is_no_number(node: Node) -> None:
    assert node.apply() == 0
    node.world.shims = Shims.make(node.world.directory / "shims")
    for program, number in (("ip6tables", 1), ("iptables", None)):
        for what in ("restore", "save"):
            node.world.shims.have(f"{program}-nft-{what}", "exit 1")
        assert node.apply("--cluster-state=/nowhere") == 65
        found = node.metrics()
        assert number is None or found["mappings", ("live",)] == number
    assert isnan(found["mappings", ("live",)])
    assert isnan(found["range_ports_used", ()])


def test_findings_are_counted_by_kind(node: Node) -> None:
    assert node.apply() == 0
    node.world.restore("*nat\n-D OUTPUT -j NPLCONF\nCOMMIT\n")
    assert node.apply() == 0
    found = node.metrics()
    assert (found["findings", ("jumps",)], found["findings", ("dispatch",)]) == (1, 0)


def test_metrics_that_cannot_be_written_stop_nothing(node: Node) -> None:
    done = node.world.nplconf("apply", "--textfile=/nowhere/nplconf.prom")
    assert done.returncode == 5
    assert "x metrics /nowhere/nplconf.prom: the metrics cannot be written: No such file or directory" in done.stdout
    assert done.stdout.endswith("ok=0 changed=1 skipped=0 failed=1\n")
    assert node.apply() == 0


def test_counters_go_on_over_runs_and_lost_textfiles(node: Node) -> None:
    assert node.apply() == node.apply() == 0
    node.world.restore("*nat\n-F NPLCONF-TCP\nCOMMIT\n")
    node.file.unlink()
    assert node.apply() == 0
    assert node.apply("--cluster-state=/nowhere") == 65
    found = node.metrics()
    assert {word: found["runs_total", (word,)] for word in ("ok", "stale", "blocked", "degraded", "failed")} == {
        "ok": 3, "stale": 0, "blocked": 0, "degraded": 0, "failed": 1,
    }  # fmt: skip
    assert {action: found["changes_total", (action,)] for action in ACTIONS} == {
        "add": 1, "change": 0, "delete": 0, "repair": 1,
    }  # fmt: skip
    assert found["last_run_changes", ("repair",)] == 0
    assert sum(value for (name, _), value in found.items() if name == "failures_total") == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": {"ok": -1}}', '{"runs": 1, "changes": {}, "failures": {}}'])
def test_counters_that_make_no_sense_begin_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / counters.FILE).write_text(text)
    (tmp_path / counters.FILE).chmod(0o600)
    assert counters.load(str(tmp_path)) == Counters()
    counters.save(str(tmp_path), Counters().after("ok", ["add", "add"], ["rule"]))
    assert counters.load(str(tmp_path)) == Counters({"ok": 1}, {"add": 2}, {"rule": 1})


def test_a_stale_plan_is_a_completed_run_and_counted(node: Node) -> None:
    plan = node.world.directory / "plan.yaml"
    assert node.apply(f"--out={plan}") == 0
    good = node.metrics()
    node.world.write(worlds.raw_service("web", [(80, 8080, "TCP")]))
    assert node.apply(str(plan)) == 3
    found = node.metrics()
    assert (found["stale", ()], found["runs_total", ("stale",)]) == (1, 1)
    assert found["last_success_timestamp_seconds", ()] > good["last_success_timestamp_seconds", ()]


def test_metrics_are_never_written_over_a_link_of_another_user(node: Node, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("root's")
    precious.chmod(0o600)
    node.file.symlink_to(precious)
    os.lchown(node.file, 65_534, 65_534)
    done = node.world.nplconf("apply", f"--textfile={node.file}")
    assert f"{node.file}: the metrics cannot be written: root does not follow the link" in done.stdout
    assert done.returncode == 5
    assert (precious.read_text(), precious.stat().st_mode & 0o777) == ("root's", 0o600)


def test_only_a_good_run_renews_the_clock_and_not_within_a_minute(node: Node) -> None:
    directory = str(node.world.directory / "state")
    assert success.last(directory) is None
    assert node.apply("--cluster-state=/nowhere") == 65
    assert success.last(directory) is None
    assert node.apply() == 0
    first = success.last(directory)
    assert first
    assert node.apply() == 0
    assert success.last(directory) == first
    aged = first._replace(at=first.at - 61, when=first.when - 61)
    (Path(directory) / success.FILE).write_text(json.dumps(aged._asdict()))
    assert node.apply() == 0
    renewed = success.last(directory)
    assert renewed
    assert renewed.at >= first.at


def test_another_boot_and_a_damaged_entry_are_renewed_at_once(tmp_path: Path) -> None:
    now = Success("boot-2", 5.0, 1e9)
    for before in (json.dumps(Success("boot-1", 4.0, 1e9)._asdict()), "", "{", "[1]", '{"boot": 1, "at": "x"}'):
        (tmp_path / success.FILE).write_text(before)
        success.note(str(tmp_path), now)
        assert success.last(str(tmp_path)) == now


def test_the_end_of_the_credentials_is_a_metric(node: Node) -> None:
    payload = base64.urlsafe_b64encode(b'{"exp": 1999999999}').decode().rstrip("=")
    token = f"e30.{payload}.c2ln"
    kubeconfig = worlds.kubeconfig(node.world.directory / "kubeconfig", {"token": token}, server="https://127.0.0.1:1")
    name = ("credentials_expiry_timestamp_seconds", ())

    assert node.apply() == 0
    assert isnan(node.metrics()[name])

    def run() -> Result:
        credentials.find(str(kubeconfig), lambda _message: None)
        raise UnavailableError("the server is gone")

    settings = Settings(node="worker-1", state_dir="/nowhere", textfile=str(node.file))
    with inside(node.world.node), pytest.raises(UnavailableError):
        record.recorded(settings, connect(settings), run)
    assert node.metrics()[name] == 1999999999
