"""The files in examples/: complete, realistic, and as the README describes them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
SCHEMAS = Path(__file__).parents[1] / "schemas"
DUMP = EXAMPLES / "cluster-6281.yaml"


def nplconf(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "nplconf", *argv], capture_output=True, text=True, check=False, timeout=60
    )


def items(kind: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load(DUMP.read_text())["items"] if item["kind"] == kind]


def test_the_dump_is_the_story_of_issue_6281() -> None:
    (pod,) = items("Pod")
    asking = [s for s in items("Service") if s["metadata"].get("annotations")]
    assert [p["containerPort"] for c in pod["spec"]["containers"] for p in c["ports"]] == [9090, 9000]
    assert [s["spec"]["ports"][0]["targetPort"] for s in asking] == [9090, 9000]
    assert all(s["spec"]["selector"].items() <= pod["metadata"]["labels"].items() for s in asking)
    assert [n["metadata"]["name"] for n in items("Node")] == [pod["spec"]["nodeName"]]
    assert "kubernetes" in [s["metadata"]["name"] for s in items("Service")]


def test_the_plan_is_what_render_makes_of_the_dump() -> None:
    rendered = nplconf(
        "render", "--cluster-state", str(DUMP), "--node", "worker-1", "--config", str(EXAMPLES / "config.yaml")
    )
    assert rendered.returncode == 0, rendered.stderr
    assert rendered.stdout == (EXAMPLES / "plan.yaml").read_text()


def test_the_config_explains_every_key_there_is() -> None:
    keys = set(json.loads((SCHEMAS / "config.schema.json").read_text())["properties"])
    named = set(re.findall(r"^(?:# )?([a-z]\w*): ?", (EXAMPLES / "config.yaml").read_text(), re.MULTILINE))
    assert keys - named == set()


def test_the_config_has_the_default_values() -> None:
    bare = nplconf("render", "--cluster-state", str(DUMP), "--node", "worker-1")
    assert bare.stdout == (EXAMPLES / "plan.yaml").read_text()
