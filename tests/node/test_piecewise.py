"""A nat table that iptables cannot list as a whole, read chain by chain."""

from collections.abc import Sequence

import pytest

from nplconf.errors import UnavailableError
from nplconf.node import piecewise
from nplconf.rules.iptables.table import JUMPS, Base, NatTable, unlisted

CHAINS = {
    "PREROUTING": "-P PREROUTING ACCEPT\n-A PREROUTING -j NPLCONF\n",
    "OUTPUT": "-P OUTPUT ACCEPT\n-A OUTPUT -j NPLCONF\n",
    "INPUT": "-P INPUT ACCEPT\n",
    "POSTROUTING": "-P POSTROUTING ACCEPT\n" + f"-A POSTROUTING {JUMPS['POSTROUTING']}\n",
    "NPLCONF": "-N NPLCONF\n-A NPLCONF -p tcp -g NPLCONF-TCP\n",
    "NPLCONF-TCP": "-N NPLCONF-TCP\n-A NPLCONF-TCP -p tcp -m tcp --dport 61000 -j DNAT --to-destination 10.0.0.1:80\n",
    "NPLCONF-POST": "-N NPLCONF-POST\n",
    "NPLCONF-INDEX": "-N NPLCONF-INDEX\n-A NPLCONF-INDEX -g NPLCONF-UDP\n",
    "NPLCONF-UDP": "-N NPLCONF-UDP\n",
}


def read(*hidden: str, targets: list[str] | None = None, there: bool = True) -> NatTable:
    def listing(names: Sequence[str]) -> str | None:
        known = [CHAINS[name] for name in names if name in CHAINS and name not in hidden]
        return "".join(known) if len(known) == len(names) else None

    return piecewise.read(listing, lambda _: there, lambda _: targets)


def test_every_chain_that_the_index_or_another_one_names_is_read() -> None:
    table = read("POSTROUTING")
    assert set(table.chains) == {name for name in CHAINS if name.startswith("NPLCONF")}
    assert table.bases["PREROUTING"] == Base(("-j NPLCONF",), "right")


@pytest.mark.parametrize("chain", ["NPLCONF", "NPLCONF-TCP", "NPLCONF-INDEX"])
def test_a_chain_of_nplconf_that_cannot_be_listed_counts_as_missing(chain: str) -> None:
    assert chain not in read("POSTROUTING", chain).chains


def test_nothing_is_made_of_a_table_without_a_base_chain_that_can_be_listed() -> None:
    with pytest.raises(UnavailableError):
        read("PREROUTING", "OUTPUT", "INPUT", "POSTROUTING")


def test_a_base_chain_that_cannot_be_listed_is_asked_for_the_jump() -> None:
    assert read("POSTROUTING").bases["POSTROUTING"].place == "right"
    assert read("POSTROUTING", there=False).bases["POSTROUTING"] == Base((), "missing")
    assert read("INPUT", there=False).bases["INPUT"] == Base((), "right")
    assert read("PREROUTING").bases["PREROUTING"].ahead is None
    assert read("POSTROUTING").bases["PREROUTING"].ahead == ()


@pytest.mark.parametrize(
    ("chain", "targets", "place"),
    [
        ("POSTROUTING", None, "right"),
        ("POSTROUTING", ["NPLCONF-POST", ""], "right"),
        ("POSTROUTING", ["", "NPLCONF-POST"], "moved"),
        ("POSTROUTING", ["NPLCONF-POST", "", "NPLCONF-POST"], "doubled"),
        ("PREROUTING", ["KUBE-SERVICES", "", "NPLCONF"], "right"),
        ("PREROUTING", ["NPLCONF", "", "KUBE-SERVICES"], "moved"),
    ],
)
def test_the_place_of_a_jump_comes_from_nft(chain: str, targets: list[str] | None, place: str) -> None:
    assert unlisted(chain, targets, there=True).place == place
