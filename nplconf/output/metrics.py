"""The result of a run in the format of the node exporter's textfile collector."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan

from nplconf import __version__
from nplconf.model import ACTIONS, FINDING_KINDS
from nplconf.node.counters import Counters
from nplconf.run.outcome import Result

BLOCKED, STALE = 4, 3
"""Exit codes of a run that a limit blocked, and of one with a stale plan."""
RESULTS = {0: "ok", STALE: "stale", BLOCKED: "blocked", 5: "degraded"}
"""The result of a run by exit code. Every other code is `failed`."""
STEPS = ("hold", "number", "rule", "publish", "conntrack", "backend", "metrics")
"""The steps of a run that can fail."""
LAST_SUCCESS = "last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted on the node. NaN: it could not be counted.

    Attributes:
        mappings: By state.
        used: Ports of the range that have a rule.
        findings: By kind. A missing kind counts as 0.
    """

    mappings: Mapping[str, float]
    used: float
    changes: Mapping[str, int]
    findings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """One run. All times are seconds since 1970.

    Attributes:
        attempted: The end of the run.
        succeeded: The end of the last successful run; 0: never.
        expiry: The end of the credentials; NaN: unknown.
    """

    status: int
    attempted: float
    succeeded: float
    seconds: float
    range_ports: int
    backend: str
    counts: Counts
    counters: Counters
    expiry: float = nan


def result_of(code: int) -> str:
    """Return the result of a run for its exit code."""
    return RESULTS.get(code, "failed")


def counted(result: Result) -> Counts:
    """Return the counts of a complete run."""
    decision = result.decision
    done = tally(change.action for change in result.done)
    live = {m.key for m in decision.live} - {change.was.key for change in result.done if change.was}
    live |= {change.mapping.key for change in result.done if change.action != "delete"}
    mappings = {
        "live": len(live),
        "planned": sum(m.via == "dnat" for m in decision.plan.mappings),
        "skipped": len(decision.plan.skipped),
        "stale": len(decision.stale),
        "pending": len(decision.pending),
        "draining": len(decision.draining),
        "failed": len(result.failures),
    }
    kinds = tally(finding.kind for finding in decision.findings)
    return Counts(mappings, len({key.node_port for key in live}), done, kinds)


def tally(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word occurs."""
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def last_success(before: str) -> float:
    """Return the time of the last successful run in a textfile of nplconf; 0 without one. Raises ValueError."""
    name = f"nplconf_{LAST_SUCCESS} "
    return next((float(line.removeprefix(name)) for line in before.splitlines() if line.startswith(name)), 0.0)


def text(run: RunMetrics) -> str:
    """Return the textfile: HELP, TYPE and samples, without timestamps."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()

    def gauge(name: str, about: str, label: str, values: Mapping[str, float]) -> None:
        metric = Gauge(f"nplconf_{name}", about, [label] if label else [], registry=registry)
        for word, value in values.items():
            (metric.labels(word) if label else metric).set(value)

    counts = run.counts
    gauge(LAST_SUCCESS, "When a run last ended well; 0: never.", "", {"": run.succeeded})
    gauge("last_attempt_timestamp_seconds", "When the last run ended, well or not.", "", {"": run.attempted})
    gauge("last_run_exit_status", "Exit code of the last run.", "", {"": run.status})
    gauge("run_duration_seconds", "How long the last run took.", "", {"": run.seconds})
    gauge("mappings", "Mappings by state; live: rules in the kernel.", "state", counts.mappings)
    gauge(
        "last_run_changes",
        "Rules that the last run changed.",
        "action",
        dict.fromkeys(ACTIONS, 0) | dict(counts.changes),
    )
    kinds = dict.fromkeys(FINDING_KINDS, 0) | dict(counts.findings)
    gauge("findings", "Faults on the node that concern no single mapping, as the last run found them.", "kind", kinds)
    gauge("range_ports", "Numbers in the port range.", "", {"": run.range_ports})
    gauge("range_ports_used", "Numbers of the port range that lead to a Pod.", "", {"": counts.used})
    gauge("blocked", "1 when a limit blocked the last run or a part of it.", "", {"": run.status == BLOCKED})
    expiry = "When the credentials for the API server expire; NaN: not known, or a plugin renews them."
    gauge("credentials_expiry_timestamp_seconds", expiry, "", {"": run.expiry})
    draining = counts.mappings.get("draining", nan)
    gauge("draining", "Mappings of deleted Pods whose rules stay until the Pods have ended.", "", {"": draining})
    gauge("stale", "Rows of the reviewed plan that no longer hold.", "", {"": counts.mappings.get("stale", nan)})

    def counter(name: str, about: str, label: str, known: Iterable[str], values: Mapping[str, int]) -> None:
        metric = Counter(f"nplconf_{name}", about, [label], registry=registry)
        for word, value in (dict.fromkeys(known, 0) | dict(values)).items():
            metric.labels(word).inc(value)

    totals = run.counters
    counter("runs_total", "Runs by result.", "result", (*RESULTS.values(), "failed"), totals.runs)
    counter("changes_total", "Changes that runs made, by action.", "action", ACTIONS, totals.changes)
    counter("failures_total", "Failures in runs, by step.", "step", STEPS, totals.failures)
    build = Gauge("nplconf_build_info", "Version, and the backend in use.", ["version", "backend"], registry=registry)
    build.labels(__version__, run.backend).set(1)
    return generate_latest(registry).decode()
