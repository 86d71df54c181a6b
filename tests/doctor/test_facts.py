"""Facts that checks share are read once, and a program that hangs is waited for once."""

from typing import Any

from pytest_mock import MockerFixture

from nplconf.doctor.checks.backend import iptables
from nplconf.doctor.facts import Facts, FactSources
from nplconf.doctor.facts.kernel import missing_capabilities
from nplconf.doctor.facts.netfilter import Live, live
from nplconf.errors import UnavailableError
from nplconf.model import FAMILIES
from nplconf.node import backend, command
from nplconf.node.linux import LinuxNode
from nplconf.rules import Reading
from nplconf.settings import Settings


def facts_of(node: Any) -> Facts:
    sources = FactSources(cluster=node, node=lambda: node, units=dict)
    return Facts(Settings("worker-1"), sources, {missing_capabilities: frozenset()})


def test_an_iptables_that_hangs_is_waited_for_once(mocker: MockerFixture) -> None:
    node = mocker.Mock(spec=LinuxNode)
    node.read.return_value = Reading({}, dict.fromkeys(FAMILIES, "no answer within 20 s"))
    asked = mocker.patch.object(command, "run", side_effect=UnavailableError("no answer within 10 s"))
    facts = facts_of(node)
    assert facts.read(live) == Live((), dict.fromkeys(FAMILIES, "no answer within 20 s"))
    assert facts.read(iptables).hinted is None
    assert node.read.call_count == 1
    assert {call.args[0] for call in asked.mock_calls} <= {"nft"}
    asked.reset_mock()
    mocker.patch.object(backend, "installed", return_value=("nft",))
    assert backend.hinted() is None
    assert asked.call_count == 1
