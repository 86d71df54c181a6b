"""The report in a real browser: a thousand mappings, dark and light, on a desktop and on a phone."""

from dataclasses import replace
from pathlib import Path

import chromium
import plans
import pytest

from nplconf.model import PodRef, Skipped
from nplconf.output import html

pytestmark = pytest.mark.browser


def page() -> str:
    """A thousand mappings, every state, and names as long as Kubernetes lets them be."""
    rows = [m._replace(node_port=61000 + i) for i, m in enumerate(plans.rows(998))]
    long = plans.mapping(node_port=61998, pod=PodRef("n" * 63, "p" * 253, ""), services=("s" * 63 + "/" + "t" * 63,))
    six = plans.mapping(node_port=61999, family="IPv6", pod_ip="fd12:3456:789a:bcde:f012:3456:789a:bcde")
    skipped = Skipped("n" * 63 + "/" + "q" * 253, "http", "TCP", "shop/web", "named-port-unresolved", "no such port")
    plan = plans.plan(*rows, long, six, skipped=(skipped,))
    report = html.of_plan(plan)
    notes = {"Findings": [html.Note("jumps", "IPv4", "missing")], **report.sections}
    return html.page(replace(report, sections=notes, cooling={62000: "last of shop/old:80"}, blocked="w" * 300))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_thousand_mappings_can_be_read_on_any_screen(tmp_path: Path, width: int, scheme: str) -> None:
    facts = chromium.measure(tmp_path, page(), width, scheme)
    assert facts["viewport"] == width
    assert facts["scrollWidth"] <= width
    assert facts["wide"] == []
    assert facts["contrast"] >= 4.5, facts["where"]
    assert (facts["rows"], facts["ports"]) == (1000, 1001)
    assert facts["cell"] >= 8
    assert facts["broken"] == 0, "a short word is on one line"
    assert facts["loaded"] == []
    assert facts["page"] == {"light": "rgb(246, 247, 245)", "dark": "rgb(15, 21, 19)"}[scheme]
    assert (tmp_path / f"{width}-{scheme}.png").stat().st_size > 10_000
