"""The report page: one element per number, one row per mapping, names as text, the same bytes again."""

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


def test_the_page_stands_alone_and_names_the_node() -> None:
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
    report = html.of_plan(plans.plan(*rows))
    page = html.page(report)
    assert page == html.page(report)
    assert len(page.encode()) < 1_000_000
