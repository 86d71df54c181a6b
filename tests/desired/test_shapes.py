"""What Services ask of all Pods with the same container ports, made once."""

import worlds
from pytest_mock import MockerFixture

from nplconf.desired import Desired, demand, render
from nplconf.desired.offers import Offer
from nplconf.desired.ports import Previous
from nplconf.desired.shapes import Place, Shape
from nplconf.model import ContainerPort, PortRange

HTTP = ContainerPort(8080, "http")


def offer(name: str = "web", *, target: int | str = 8080, families: tuple[str, ...] = ("IPv4",)) -> Offer:
    return Offer(worlds.service(name, ((target, "TCP"),), families=families))


def test_services_that_ask_for_one_port_share_its_place() -> None:
    shape = Shape([offer("web"), offer("admin", target="http")], (HTTP,))
    assert shape.places(("IPv4",)) == (Place(8080, "tcp", "IPv4", ("shop/admin", "shop/web")),)
    assert (shape.size, shape.ports, shape.is_plain) == (2, 1, True)


def test_places_are_those_of_the_families_in_which_a_pod_is_reached() -> None:
    shape = Shape([offer("web"), offer("six", families=worlds.BOTH)], ())
    assert shape.families == ("IPv4", "IPv6")
    assert [(p.family, p.services) for p in shape.places(("IPv6",))] == [("IPv6", ("shop/six",))]
    assert [p.family for p in shape.places(("IPv4", "IPv6"))] == ["IPv4", "IPv6"]


def test_a_name_that_no_container_has_and_a_host_port_make_a_shape_that_is_not_plain() -> None:
    assert not Shape([offer(target="http")], ()).is_plain
    assert Shape([offer(target="http")], (HTTP,)).is_plain
    assert not Shape([offer()], (HTTP._replace(host_port=80),)).is_plain


def test_pods_with_the_same_ports_and_services_are_expanded_once(mocker: MockerFixture) -> None:
    made = mocker.spy(demand, "Shape")
    pods = [worlds.pod(f"web-{i}", (f"10.244.3.{i + 1}",), ports=[HTTP]) for i in range(20)]
    pods += [worlds.pod(f"other-{i}", (f"10.244.4.{i + 1}",)) for i in range(20)]
    state = worlds.cluster(worlds.node(), *pods, worlds.service())
    desired = Desired(PortRange(61000, 61099))
    assert len(render(state, state.nodes[0], desired, Previous()).mappings) == 40
    assert made.call_count == 2
