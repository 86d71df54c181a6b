"""The native chains that come before nplconf's. No output of nft ends a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from nplconf.errors import UnavailableError
from nplconf.model import PortRange
from nplconf.node import libnftables, native, nft
from nplconf.rules.native import BaseChain

RANGE = PortRange(61000, 62000)
LISTED = """table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority -100; policy accept;
	}
}
table ip6 nat {
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
	}
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
	}
}
table inet nplconf {
	chain prerouting {
		type nat hook prerouting priority -80; policy accept;
	}
}
table inet firewalld {
	chain plain {
	}
	chain nat_PREROUTING {
		type nat hook prerouting priority -90; policy accept;
	}
	chain nat_POSTROUTING {
		type nat hook postrouting priority 110; policy accept;
	}
	chain nat_OUTPUT {
		type nat hook output priority -90; policy accept;
	}
	chain filter {
		type filter hook prerouting priority -150; policy accept;
	}
}
table ip6 mine {
	chain pre {
		type nat hook prerouting priority -101; policy accept;
	}
}
"""


def test_only_native_nat_chains_up_to_a_priority_come_first() -> None:
    mine, firewalld = BaseChain("ip6", "mine", "pre"), BaseChain("inet", "firewalld", "nat_PREROUTING")
    beside_iptables = BaseChain("ip6", "nat", "prerouting")
    assert list(native.bases(LISTED, native.DSTNAT)) == [beside_iptables, mine]
    output = firewalld._replace(chain="nat_OUTPUT", local=True)
    assert list(native.bases(LISTED, native.OWN)) == [beside_iptables, firewalld, output, mine]


def test_without_an_answer_of_nftables_there_are_none(mocker: MockerFixture) -> None:
    mocker.patch.object(libnftables, "ask", side_effect=UnavailableError("no nftables"))
    assert native.rules(RANGE, native.DSTNAT) == ()


WORDS = ("match", "left", "right", "op", "vmap", "key", "data", "set", "jump", "target", "payload", "meta", "concat")
MORE_WORDS = ("elem", "val", "dnat", "addr", "map", "range", "prefix", "fib", "field", "protocol", "xt", "name", "goto")
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["tcp", "@x", "dport"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*WORDS, *MORE_WORDS)), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.lists(JSON, max_size=3), max_size=3))
def test_json_of_any_form_ends_no_run(rules: list[object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(libnftables, "ask", lambda _: LISTED)
        patch.setattr(nft, "listed", lambda *_: [{"rule": {"expr": rule}} for rule in rules])
        assert isinstance(native.rules(RANGE, native.DSTNAT), tuple)
