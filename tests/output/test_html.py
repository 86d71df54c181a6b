"""The report page: one element per port, one row per mapping, names as text, reproducible bytes."""

import re
from dataclasses import replace

import plans

from nplconf.model import PodRef, PortRange, Skipped
from nplconf.output import html

SPAN = PortRange(61000, 61009)


def states(page: str) -> dict[int, str]:
    return {int(number): state for number, state in re.findall(r'data-port="(\d+)" data-state="(\w+)"', page)}


def test_every_number_of_the_range_has_one_state() -> None:
    report = html.of_plan(plans.plan(plans.mapping(node_port=61003), port_range=SPAN))
    page = html.page(replace(report, taken={61004: "by nginx[812]"}, cooling={61003: "", 61005: "last of shop/old:80"}))
    assert states(page) == dict.fromkeys(range(61000, 61010), "free") | {
        61003: "mapped",
        61004: "taken",
        61005: "cooling",
    }


def test_every_mapping_has_a_row_also_where_two_share_a_number() -> None:
    both = [plans.mapping(), plans.mapping(family="IPv6", pod_ip="fd12::7", node_ip="fd12::10")]
    page = html.page(html.of_plan(plans.plan(*both)))
    assert page.split("<tbody>")[1].split("</tbody>")[0].count("<tr") == 2
    assert page.count('id="m61044"') == 1


def test_the_page_is_self_contained_and_names_the_node() -> None:
    page = html.page(html.of_plan(plans.plan(plans.mapping())))
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>worker-1 · node ports 61000-62000</title>" in page
    assert not re.search(r"https?://|<script|@import|url\(", page)


def test_hostile_names_are_text() -> None:
    bad = plans.mapping(pod=PodRef("shop", '"><script>alert(1)</script>\n\u202e', ""))
    skipped = Skipped("<b>", "<i>", "TCP", "</ul>", "policy", "a\x1b[31m", "<rule>")
    page = html.page(html.of_plan(plans.plan(bad, skipped=(skipped,))))
    assert "<script" not in page
    assert "<b>&lt;" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_the_same_input_gives_the_same_bytes_and_a_thousand_rows_stay_under_a_megabyte() -> None:
    rows = [m._replace(node_port=61000 + i) for i, m in enumerate(plans.rows(1000))]
    report = html.of_plan(plans.plan(*rows, port_range=PortRange(61000, 65000)))
    page = html.page(report)
    assert page == html.page(report)
    assert len(page.encode()) < 1_000_000


def test_a_thousand_rows_of_the_longest_names_stay_under_a_megabyte_too() -> None:
    long, services = "n" * 63, (f"{'n' * 63}/{'s' * 63}",)
    rows = [
        plans.mapping(
            node_port=61000 + i,
            family="IPv6",
            pod=PodRef(long, f"{i:04}{'p' * 249}", ""),
            pod_ip=f"fd12:3456:789a:bcde:f012:3456:789a:{i:x}",
            services=services,
        )
        for i in range(1000)
    ]
    page = html.page(html.of_plan(plans.plan(*rows, port_range=PortRange(61000, 65000))))
    assert len(page.encode()) < 1_000_000
    assert f"<td>{long}/0999{'p' * 249}:8080</td>" in page, "the row has the whole name"


def test_who_has_a_number_is_also_shown_where_no_title_can_be_seen() -> None:
    report = html.of_plan(plans.plan(plans.mapping(node_port=61003), port_range=SPAN))
    page = html.page(replace(report, taken={61004: "by nginx[812]"}, cooling={61005: "last of shop/old:80"}))
    section = page.split("Taken and cooling<span>2</span>")[1]
    assert "<strong>taken</strong><code>61004</code> by nginx[812]" in section
    assert "<strong>cooling</strong><code>61005</code> last of shop/old:80" in section


def test_what_there_is_beside_the_table_can_be_reached_from_the_top() -> None:
    skipped = Skipped("shop/x", 80, "sctp", "shop/web", "protocol-unsupported", "no")
    page = html.page(html.of_plan(plans.plan(plans.mapping(), skipped=(skipped,))))
    head = page.split("<main>")[0]
    assert [page.count(f'id="{target}"') for target in re.findall(r'<a href="#(\w+)"', head)] == [1, 1]
    assert "Skipped<b>1</b>" in head
