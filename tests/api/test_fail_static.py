"""Without a reliable API server the cluster's data changes nothing, and the node keeps its last good plan."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import faultproxy
import kube
import pytest
from apisite import Site

pytestmark = [pytest.mark.api, pytest.mark.kernel]
LISTS = "/api/v1/"


@pytest.fixture
def served(node: Site) -> Site:
    """A node with one mapping in place."""
    node.area.pod()
    node.area.service()
    assert node.apply().code == 0
    return node


def flush(node: Site) -> None:
    node.run("iptables-nft", "-t", "nat", "-F")


def replace_token(node: Site, token: str) -> None:
    """The token in use is rejected, and the file has another one."""
    node.use(token=token)
    node.proxy.fail(faultproxy.status(401, "Unauthorized"), LISTS, times=3)


def lose_token(node: Site) -> None:
    replace_token(node, "unknown")


def lose_server(node: Site) -> None:
    node.proxy.fail(faultproxy.reset(), LISTS, times=1000)


def lose_rights(node: Site) -> None:
    replace_token(node, node.area.plane.tokens["tenant"])


def get_html(node: Site) -> None:
    node.proxy.fail(faultproxy.answers(200, "<html>", "text/html"), LISTS, times=1000)


def get_no_items(node: Site) -> None:
    node.proxy.fail(faultproxy.edited(lambda raw: raw | {"items": None}), "/api/v1/pods", times=1000)


def get_a_date_that_overflows(node: Site) -> None:
    date = "Mon, 01 Jan 99999999999999 00:00:00 GMT"
    node.proxy.fail(faultproxy.answers(503, "", Retry_After=date), "/api/v1/pods", times=100_000)


def get_a_location_that_is_none(node: Site) -> None:
    node.proxy.fail(faultproxy.answers(302, "", Location="https://["), LISTS, times=1000)


def get_causes_that_are_no_list(node: Site) -> None:
    node.proxy.fail(faultproxy.status(404, "NotFound", causes=1), "/api/v1/nodes", times=1000)


def get_a_bomb(node: Site) -> None:
    node.proxy.fail(faultproxy.bomb(480 << 20), "/api/v1/services", times=1000)


FAULTS = [
    (lose_server, 69),
    (get_html, 69),
    (get_no_items, 69),
    (get_a_date_that_overflows, 69),
    (get_a_location_that_is_none, 69),
    (get_causes_that_are_no_list, 69),
    # it takes seconds, and watch mode reads lists in the same way
    pytest.param(get_a_bomb, 69, marks=pytest.mark.not_by_watch),
    (lose_token, 77),
    (lose_rights, 77),
]


@pytest.mark.watch_too
def test_a_mapping_is_made_published_and_left_alone(served: Site) -> None:
    applied = served.apply()

    assert (applied.code, applied.counts) == (0, (1, 0, 0))
    assert len(served.proxy.seen("PATCH")) == 1
    assert served.nplconf("verify").returncode == 0


@pytest.mark.watch_too
@pytest.mark.parametrize(("lose", "code"), FAULTS)
def test_without_a_good_plan_of_this_boot_a_fault_is_the_exit_code(
    node: Site, lose: Callable[[Site], None], code: int
) -> None:
    node.area.pod()
    node.area.service()
    lose(node)

    assert node.apply().code == code
    assert node.ours() == []


@pytest.mark.watch_too
@pytest.mark.parametrize(("lose", "code"), FAULTS)
def test_with_one_the_node_is_healed_and_the_run_is_degraded(
    served: Site, lose: Callable[[Site], None], code: int
) -> None:
    before, published = served.ours(), served.area.annotation()
    flush(served)
    lose(served)
    served.cut()

    applied = served.apply()

    assert applied.code == 5
    assert applied.counts == (0, 1, 0)
    assert "kept at the last good plan" in applied.stderr
    assert (code == 77) == ("right" in applied.stderr or "rejected our token" in applied.stderr)
    assert sorted(served.ours()) == sorted(before)
    assert served.area.annotation() == published


@pytest.mark.watch_too
@pytest.mark.parametrize(("lose", "code"), FAULTS[:1])
def test_a_right_node_is_confirmed_without_a_write(served: Site, lose: Callable[[Site], None], code: int) -> None:
    del code
    before = served.ours()
    lose(served)
    served.cut()
    served.area.delete("web-0")

    applied = served.apply()

    assert (applied.code, applied.counts) == (5, (1, 0, 0))
    assert served.ours() == before


@pytest.mark.watch_too
def test_the_next_run_succeeds_once_the_server_is_back(served: Site) -> None:
    lose_server(served)
    served.cut()
    assert served.apply().code == 5
    served.proxy.heal()
    served.area.delete("web-0")

    applied = served.apply()

    assert (applied.code, applied.counts) == (0, (0, 1, 0))


def test_a_missing_kubeconfig_is_bad_configuration_and_the_node_is_healed(served: Site, tmp_path: Path) -> None:
    before = served.ours()
    flush(served)
    served.kubeconfig = tmp_path / "missing"

    applied = served.apply()

    assert applied.code == 78
    assert "--kubeconfig" in applied.stderr
    assert sorted(served.ours()) == sorted(before)


@pytest.mark.watch_too
def test_a_plan_of_another_boot_heals_nothing(served: Site, tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.json"
    other = path.read_text().replace(Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "another-boot")
    rewrite(path, other)
    flush(served)
    lose_server(served)
    served.cut()

    applied = served.apply()

    assert applied.code == 69
    assert "damaged" not in applied.stderr
    assert not any("-j DNAT" in rule for rule in served.ours())


def rewrite(path: Path, text: str) -> None:
    """Give a state file that was edited the checksum it needs."""
    head, _, body = text.partition("\n")
    crc = zlib.crc32(body.encode())
    path.write_text(json.dumps(json.loads(head) | {"crc32": crc}) + "\n" + body)


@pytest.mark.watch_too
def test_the_answer_of_another_cluster_changes_nothing_until_the_node_is_cleaned(served: Site, tmp_path: Path) -> None:
    before, published = served.ours(), served.area.annotation()
    path = tmp_path / "state" / "state.json"
    identity = served.area.plane.ok("GET", kube.KUBERNETES)["metadata"]["uid"]
    state = path.read_text().replace(identity, "another").replace(served.area.node_uid, "another-node")
    rewrite(path, state)
    served.area.delete("web", "services")

    applied = served.apply()

    assert applied.code == 4
    assert f"({identity}) than this node's (another)" in applied.stderr
    assert served.ours() == before
    assert served.nplconf("cleanup").returncode == 5
    assert (served.ours(), served.area.annotation()) == ([], published)
    assert served.apply().code == 0
    assert served.area.annotation() == "[]"


@pytest.mark.watch_too
def test_without_its_node_object_the_servers_answer_is_not_accepted(served: Site) -> None:
    before = served.ours()
    served.area.plane.ok("DELETE", f"/api/v1/nodes/{served.area.node}")
    served.use(token=served.area.plane.tokens["admin"])
    served.area.delete("web-0")

    applied = served.apply()

    assert applied.code == 4
    assert served.ours() == before


@pytest.mark.parametrize(("lose", "code"), [(get_html, 69), (lose_rights, 77)])
def test_read_only_commands_report_the_fault(served: Site, lose: Callable[[Site], None], code: int) -> None:
    lose(served)

    for command in (("plan",), ("verify",), ("render",), ("explain", "svc/a/b")):
        assert served.nplconf(*command).returncode == code
