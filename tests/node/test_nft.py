"""Parsing nft's JSON."""

from typing import Any

import pytest

from nplconf.node import nft

COUNTER = {"counter": {"packets": 0, "bytes": 0}}


@pytest.mark.parametrize(
    ("rule", "chain"),
    [
        ([COUNTER, {"jump": {"target": "NPLCONF"}}], "NPLCONF"),
        ([{"xt": {"type": "match", "name": "conntrack"}}, {"goto": {"target": "X"}}], "X"),
        ([{"masquerade": None}], ""),
        ([], ""),
    ],
)
def test_where_a_rule_leads(rule: list[dict[str, Any]], chain: str) -> None:
    assert nft.target(rule) == chain


@pytest.mark.parametrize("text", ["", "[]", "{", '{"nftables": 1}', "null", '{"nftables": [1, {"rule": {}}]}'])
def test_an_invalid_listing_has_no_rule(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(nft.command, "run", lambda *_, **__: nft.command.Completed(0, text, ""))
    assert [rule for rule in nft.expressions("IPv4", "nat", "POSTROUTING") if rule] == []
