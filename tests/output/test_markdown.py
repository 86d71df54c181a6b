"""Reviews as Markdown: hostile names are text, deletes come first and are never cut, cut rows are counted."""

import html
import re
from pathlib import Path
from typing import Any

import plans
import pytest
from hypothesis import given

from nplconf.model import PodRef, PortMapping, Skipped
from nplconf.output import data, markdown
from nplconf.plan import document
from nplconf.plan.diff import Diff, diff

GOLDEN = Path(__file__).parent / "golden"


def found(was: tuple[PortMapping, ...], want: tuple[PortMapping, ...]) -> Diff:
    return diff(was, want, why_add=lambda _: "new", why_delete=lambda _: "pod-gone")


def review(was: tuple[PortMapping, ...], want: tuple[PortMapping, ...]) -> str:
    return markdown.text(data.diff("worker-1", found(was, want), ()))


def test_a_review_names_the_node_then_sums_up_then_shows_deletes_first() -> None:
    gone, moved, new = (plans.mapping(node_port=n, pod=PodRef("shop", f"web-{n}", "")) for n in (61001, 61002, 61003))
    text = review((gone, moved), (plans.mapping(node_port=61009, pod=moved.pod), new))
    assert text.startswith("# nplconf: <code>worker-1</code>\n\n**1 to delete, 1 to change, 1 to add**, 0 unchanged.\n")
    places = [text.index(title) for title in ("## To delete (1)", "## To change (1)", "## To add (1)")]
    assert places == sorted(places)
    assert "| <code>61002</code> → <code>tcp/61009</code> | <code>shop/web-61002:8080</code> |" in text


def test_nothing_to_change_is_a_heading_and_a_summary() -> None:
    text = review((), ())
    assert text == "# nplconf: <code>worker-1</code>\n\n**0 to delete, 0 to change, 0 to add**, 0 unchanged.\n\n"


def test_what_is_cut_is_counted_and_deletes_are_not_cut() -> None:
    rows = plans.rows(2400)
    text = review(rows[:300], rows[300:])
    assert len(text.encode()) < markdown.BYTES
    assert text.count("| pod-gone |") == 300
    shown = text.count("| new |")
    assert 0 < shown < 2100
    assert f"\n{2100 - shown} more\n" in text


@pytest.mark.parametrize("count", [1001, 3000, 9000])
def test_any_number_of_deletes_is_printed_in_full(count: int) -> None:
    text = review(plans.rows(count), plans.rows(count + 900)[count:])
    assert len(text.encode()) < markdown.BYTES
    assert re.search(r"^\d+ more$", text, re.MULTILINE)
    spans = re.findall(r"[/ ](\d+)(?:-(\d+))?(?=[ ,\n]|$)", text.split("## To add")[0].split("\n## To delete")[1])
    assert sum(int(last or first) - int(first) + 1 for first, last in spans) == count


def test_nine_thousand_deletes_of_separate_ports_are_all_named() -> None:
    rows = [m._replace(node_port=1024 + 7 * i) for i, m in enumerate(plans.rows(9000))]
    text = review(tuple(rows), ())
    assert len(text.encode()) < markdown.BYTES
    assert all(re.search(rf"\b{m.node_port}\b", text) for m in rows[::97])


@given(plans.hostile)
def test_a_cell_holds_no_markup_whatever_it_says(value: str) -> None:
    assert not re.search(r"[<>|`\\*\[\]@\n\r]|://|www\.", markdown.cell(value), re.IGNORECASE)


@pytest.mark.parametrize("name", ["a|b", "`x`", "<script>", "a\nb", "@team", "[x](http://y)", "https://x", "www.x.y"])
def test_a_hostile_name_leaves_the_table_a_table(name: str) -> None:
    mapping = plans.mapping(pod=PodRef("shop", name, ""), services=(f"shop/{name}",))
    rows = [line for line in review((mapping,), ()).splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [6, 6, 6]
    assert not re.search(r"`|<script|@|\]\(|://|www\.", rows[-1])


def test_a_thousand_deletes_are_all_named() -> None:
    rows = plans.rows(1001)
    text = review(tuple(rows), ())
    assert len(text.encode()) < markdown.BYTES
    assert all(f"tcp/{m.node_port} {m.pod.key}:{m.pod_port}\n" in text for m in rows)


def test_what_other_commands_list_becomes_a_table_of_any_length() -> None:
    rows = [{"mapping": document.mapping_to_data(m), "rule": "ok"} for m in plans.rows(1000)]
    text = markdown.listing({"node": "worker-1", "ok": True, "mappings": rows, "findings": []})
    assert text.startswith("# nplconf: <code>worker-1</code>\n\n**ok: true, 1000 mappings, 0 findings**\n\n")
    assert "## Mappings (1000)\n\n| port | pod | address | services | via | rule |\n" in text
    assert re.search(r"^\d+ more$", text, re.MULTILINE)
    assert len(text.encode()) < markdown.BYTES


def test_names_in_a_list_are_text_and_nothing_else() -> None:
    text = markdown.listing(
        {"ok": False, "problems": [{"file": "a|b<i>\n", "line": 0, "fix": None}], "commands": ["x"]}
    )
    assert "| <code>a&#124;b&#60;i&#62;&#92;x0a</code> | 0 |  |" in text
    assert "## Commands (1)" in text


ROW = document.mapping_to_data(plans.mapping(via="hostPort"))
SIX = document.mapping_to_data(
    plans.mapping(family="IPv6", node_ip="fd12::10", pod_ip="fd12::4", services=("shop/a", "shop/web"))
)
NOBODY = ROW | {"pod": {"namespace": "", "name": "", "uid": ""}}
SKIPPED = [
    Skipped("shop/web-0", 9, "sctp", "shop/web", "policy", "no", "spec.caps"),
    Skipped(None, "http", "tcp", "shop/np", "service-type", "not served"),
]
WHOLE: dict[str, Any] = {
    "node": "worker-1",
    "summary": dict(
        zip(("delete", "change", "add", "unchanged", "ok", "changed", "skipped", "failed"), range(1, 9), strict=True)
    ),
    "blocked": {"message": "no <b>"},
    "changes": [
        {"action": "add", "reason": "new", "mapping": SIX, "was": None},
        {"action": "change", "reason": "pod-ip-changed", "mapping": ROW | {"podIP": "10.244.3.9"}, "was": ROW},
        {"action": "delete", "reason": "owner-unknown", "mapping": NOBODY, "was": NOBODY},
    ],
    "failures": [{"step": "rule", "subject": "tcp/1", "message": "no|way"}],
    "findings": [{"kind": "rule", "subject": "IPv4", "message": "odd"}],
    "stale": [{"mapping": SIX, "reason": "pod-gone"}],
    "pending": [{"pod": ROW["pod"], "podPort": 80, "protocol": "udp", "reason": "not-reviewed"}],
    "skipped": [document.skipped_to_data(row) for row in SKIPPED],
    "patches": [
        {"namespace": "shop", "name": "web-0", "annotation": None},
        {"namespace": "shop", "name": "web-1", "annotation": "[]"},
    ],
}


def test_a_review_with_everything_in_it_reads_as_reviewers_know_it() -> None:
    assert markdown.text(WHOLE) == (GOLDEN / "review.md").read_text()


def test_repairs_and_blocked_removals_have_a_section_of_their_own() -> None:
    removal = {"action": "delete", "reason": "not-selected", "mapping": ROW, "was": ROW}
    repair = {"action": "repair", "reason": "rule-missing", "mapping": SIX, "was": None}
    more = {
        "changes": [repair],
        "blocked": {"message": "too much", "removals": [removal]},
        "summary": WHOLE["summary"] | {"repair": 1},
    }
    text = markdown.text(WHOLE | more)
    assert ", 1 to repair, " in text
    for title, reason in (("To repair", "rule-missing"), ("Blocked", "not-selected")):
        assert reason in text.partition(f"## {title} (1)\n")[2].partition("\n## ")[0]


def test_a_list_has_the_columns_of_all_its_rows_and_each_value_in_its_own() -> None:
    rows = [{"mapping": SIX, "hold": None}, SIX]
    text = markdown.listing({"none": None, "skipped": WHOLE["skipped"], "rows": rows, "empty": []})
    assert text == (GOLDEN / "listing.md").read_text()
    other = markdown.listing({"skipped": WHOLE["skipped"][::-1]})
    assert "| pod | podPort | protocol | service | reason | message | rule |" in other
    assert (
        "| <code>shop/web-0</code> | 9 | sctp | <code>shop/web</code> | policy | no | <code>spec.caps</code> |" in other
    )


def test_of_many_long_sections_each_says_what_it_left_out_and_no_room_is_wasted() -> None:
    many = {name: WHOLE[name] * 2000 for name in ("findings", "stale", "pending", "skipped", "patches")}
    for text in (markdown.text(WHOLE | many), markdown.listing(many)):
        assert markdown.BYTES - 1000 < len(text.encode()) < markdown.BYTES
        assert len(re.findall(r"^\d+ more$", text, re.MULTILINE)) >= 4
        assert all(f"({len(rows)})\n" in text for rows in many.values())


def test_a_message_without_end_does_not_push_out_the_rest() -> None:
    text = markdown.text(WHOLE | {"blocked": {"message": "x" * 5000}})
    assert f"> **Blocked:** <code>{'x' * 2000}</code>\n\n## To delete" in text


MENTIONS = ("@team", "#12", "org/repo#12", "GH-12", "deadbeef01", "https://x.y", "www.x.y", "a@b.cd", "!12", "~label")


@pytest.mark.parametrize("name", MENTIONS)
def test_no_mention_or_link_can_arise_from_any_field(name: str) -> None:
    def hostile(value: object) -> object:
        if isinstance(value, dict):
            return {key: inner if key in FIXED else hostile(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [hostile(inner) for inner in value]
        return name if isinstance(value, str) else value

    for text in (markdown.text(hostile(WHOLE)), markdown.listing(hostile(WHOLE) | {"state": name, "list": [name]})):  # type: ignore[operator,arg-type]
        assert text.count(html.escape(name)) + text.count("&#") > 10
        rendered = html.unescape(re.sub(r"<code>.*?</code>|<pre>.*?</pre>", "", text, flags=re.DOTALL))
        assert name not in rendered


FIXED = ("action", "via", "protocol", "summary", "step", "kind")
"""Fields whose values are words of nplconf's own."""


def test_a_review_of_what_was_not_applied_has_no_failures() -> None:
    planned = {key: value for key, value in WHOLE.items() if key != "failures"}
    assert "## Failed" not in markdown.text(planned)


def deletes_in(room: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the text of six deletes within so many bytes."""
    numbers = [("tcp", 61005), ("tcp", 61001), ("tcp", 61000), ("udp", 61002), ("udp", 61001), ("tcp", 61002)]
    rows = [ROW | {"protocol": protocol, "nodePort": number} for protocol, number in numbers]
    changes = [{"action": "delete", "reason": "pod-gone", "mapping": row, "was": row} for row in rows]
    counts = dict.fromkeys(("delete", "change", "add", "unchanged"), 6)
    empty = dict.fromkeys(("findings", "stale", "pending", "skipped", "patches"), ())
    monkeypatch.setattr(markdown, "BYTES", room)
    text = markdown.text({"node": "w", "summary": counts, "changes": changes, **empty})
    return text.partition("## To delete (6)\n\n")[2]


def test_deletes_that_are_too_many_become_lines_then_ports_then_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deletes_in(5000, monkeypatch).startswith("| Port | Pod |")
    lines = deletes_in(500, monkeypatch)
    assert lines.startswith("<pre>\ntcp/61005 shop/web-0:8080\ntcp/61001 shop/web-0:8080\n")
    assert lines.endswith("udp/61001 shop/web-0:8080\ntcp/61002 shop/web-0:8080\n</pre>\n\n")
    ports = "tcp/61005, tcp/61001, tcp/61000, udp/61002, udp/61001, tcp/61002\n\n"
    assert deletes_in(190, monkeypatch) == ports
    assert deletes_in(100, monkeypatch) == "tcp/61000-61002 61005, udp/61001-61002\n\n"


def test_a_section_of_which_nothing_fits_is_a_heading_and_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"kind": "rule", "subject": f"{i}", "message": "m" * 300} for i in range(3)]
    monkeypatch.setattr(markdown, "BYTES", 250)
    assert markdown.listing({"findings": rows}) == "# nplconf\n\n**3 findings**\n\n## Findings (3)\n\n3 more\n\n"
    monkeypatch.setattr(markdown, "BYTES", 600)
    assert markdown.listing({"findings": rows}).endswith("m</code> |\n\n2 more\n\n")
