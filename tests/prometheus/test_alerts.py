"""The example alerts: Prometheus accepts them, their metrics exist, and each fires when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nplconf.model import FINDING_KINDS
from nplconf.node.counters import Counters
from nplconf.output import metrics
from nplconf.output.metrics import Counts, RunMetrics
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror
from nplconf.watch.server import Metrics

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "examples" / "prometheus" / "alerts.yaml"
CASES = Path(__file__).with_name("alerts_test.yaml")
PROMTOOL = [["check", "rules", str(ALERTS)], ["test", "rules", CASES.name]]
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "interval": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["alert", "expr", "labels", "annotations"],
                            "additionalProperties": False,
                            "properties": {
                                "alert": {"type": "string", "pattern": "^Nplconf[A-Za-z]+$"},
                                "expr": {"type": "string"},
                                "for": {"type": "string", "pattern": "^[0-9]+[smhd]$"},
                                "labels": TEXTS,
                                "annotations": TEXTS,
                            },
                        },
                    },
                },
            },
        }
    },
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def exported() -> str:
    counts = Counts(dict.fromkeys(("live", "planned", "failed", "stale"), 1), 1, {}, {})
    return metrics.text(RunMetrics(0, 1.0, 1.0, 1.0, 1001, "nft", counts, Counters()))


def test_prometheus_accepts_the_file_and_each_alert_fires_in_its_case() -> None:
    """By promtool where it is to be had, which plays the cases, too; else by what it would look at first."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    assert all({"summary", "description", "runbook_url"} <= set(rule["annotations"]) for rule in found)
    if shutil.which("promtool") is None:
        jsonschema.validate(yaml.safe_load(ALERTS.read_text()), SCHEMA)
        return
    for words in PROMTOOL:
        done = subprocess.run(["promtool", *words], cwd=CASES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_uses_only_metrics_that_a_run_writes(rule: dict[str, Any]) -> None:
    text = exported()
    for name, selector in re.findall(r"(nplconf_\w+)((?:\{[^}]*\})?)", rule["expr"]):
        assert f"{name}{selector}" in text, rule["expr"]
    assert rule["expr"].count("(") == rule["expr"].count(")")


RUNBOOKS = "file:///usr/share/doc/nplconf/troubleshooting.md#"


def test_every_alert_has_a_runbook_in_the_page_that_the_packages_install() -> None:
    page = (ROOT / "examples" / "operations" / "troubleshooting.md").read_text()
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### Nplconf")]
    assert headings == [rule["alert"] for rule in rules()]
    assert all(rule["annotations"]["runbook_url"] == RUNBOOKS + rule["alert"].lower() for rule in rules())
    assert "examples/operations/*.md" in (ROOT / ".ci" / "packages" / "build").read_text()


def served() -> str:
    """What `nplconf watch --listen` has beside the textfile's metrics."""
    return Metrics(Hub(Mirror.of_node("worker-1"))).text()


def test_the_dashboard_shows_metrics_and_labels_that_exist() -> None:
    panels = json.loads((ROOT / "examples" / "prometheus" / "dashboard.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    known = set(re.findall(r"^# TYPE (nplconf_\w+?)(?:_total)? ", exported() + served(), re.MULTILINE))
    used = {name for expr in expressions for name in re.findall(r"nplconf_\w+", expr)}
    assert {re.sub("_(total|bucket)$", "", name) for name in used} - known == set()
    assert [expr for expr in expressions if expr.count("(") != expr.count(")")] == []
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == {rule["alert"] for rule in rules()}


def test_every_kind_of_finding_is_exported() -> None:
    assert all(f'nplconf_findings{{kind="{kind}"}} 0.0' in exported() for kind in FINDING_KINDS)
