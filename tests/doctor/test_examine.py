"""What doctor sees of the node, where seeing is not simple."""

from pytest_mock import MockerFixture

from nplconf.doctor import examine
from nplconf.errors import UnavailableError
from nplconf.model import FAMILIES
from nplconf.node import backend, command
from nplconf.node.linux import LinuxNode
from nplconf.rules import Reading


def test_an_iptables_that_hangs_is_waited_for_once(mocker: MockerFixture) -> None:
    node = mocker.Mock(spec=LinuxNode)
    node.read.return_value = Reading({}, dict.fromkeys(FAMILIES, "no answer within 20 s"))
    asked = mocker.patch.object(command, "run", side_effect=UnavailableError("no answer within 10 s"))
    assert examine.live(node) == (frozenset(), dict.fromkeys(FAMILIES, "no answer within 20 s"))
    assert node.read.call_count == 1
    assert examine.iptables("auto", {"IPv4": "no answer"}).hinted is None
    assert asked.call_count == 0
    mocker.patch.object(backend, "installed", return_value=("nft",))
    assert backend.hinted() is None
    assert asked.call_count == 1
