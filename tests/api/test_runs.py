"""Complete runs with the real API server and real iptables: exactly the mappings in place are published."""

import faultproxy
import pytest
import worlds
from apisite import Site
from area import WRITER_POLICIES, Area

pytestmark = [pytest.mark.api, pytest.mark.kernel]


def dnats(node: Site) -> int:
    return sum("-j DNAT" in rule for rule in node.ours())


def patches_of(node: Site, name: str) -> int:
    return sum(f"/pods/{name}/" in path for path in node.proxy.seen("PATCH"))


@pytest.fixture
def three(node: Site) -> Site:
    """A node with three Pods that one Service wants mapped."""
    for i in range(3):
        node.area.pod(f"web-{i}", (f"10.244.3.{i + 10}",))
    node.area.service()
    return node


@pytest.mark.watch_too
def test_a_patch_that_fails_leaves_the_rest_published_and_is_sent_alone_in_the_next_run(three: Site) -> None:
    path = f"/api/v1/namespaces/{three.area.namespace}/pods/web-1/"
    three.proxy.fail(faultproxy.status(500, "InternalError"), path, "PATCH", times=4)

    first = three.apply()

    assert first.code == 5
    assert [failure["subject"] for failure in first.data["failures"]] == [f"{three.area.namespace}/web-1"]
    assert [three.area.annotation(f"web-{i}") is None for i in range(3)] == [False, True, False]
    assert dnats(three) == 3

    three.proxy.requests.clear()
    second = three.apply()

    assert (second.code, second.counts) == (0, (3, 0, 0))
    assert len(three.proxy.seen("PATCH")) == patches_of(three, "web-1") == 1


@pytest.mark.watch_too
def test_no_patch_is_sent_when_nothing_differs(three: Site) -> None:
    three.apply()
    three.proxy.requests.clear()

    applied = three.apply()
    assert applied.code == 0
    assert set(applied.causes) <= {"resync"}, "the events of its own patches start no run"
    assert three.proxy.seen("PATCH") == []


@pytest.mark.watch_too
def test_a_pod_whose_annotations_would_be_too_long_is_not_kept_mapped_unpublished(three: Site) -> None:
    three.area.annotate("web-1", "x" * (256 * 1024 - 20), "big")

    for _ in range(2):
        applied = three.apply()

        assert applied.code == 5
        assert [f["subject"] for f in applied.data["failures"]] == [f"{three.area.namespace}/web-1"]
        assert "too long" in applied.data["failures"][0]["message"]
        assert three.area.annotation("web-1") is None
        assert three.area.annotation("web-2") is not None
        assert dnats(three) == 2

    three.area.annotate("web-1", None, "big")
    assert (three.apply().code, dnats(three)) == (0, 3)
    assert three.area.annotation("web-1") is not None


@pytest.mark.watch_too
def test_a_pod_that_a_policy_protects_is_not_kept_mapped_unpublished(node: Site) -> None:
    denying = Area(node.area.plane, WRITER_POLICIES)
    denying.pod("web-9", ("10.244.3.99",), on=node.area.node)
    denying.service()
    node.area.pod()
    node.area.service()
    node.use(token=node.area.token(bound=False))

    applied = node.apply()

    assert applied.code == 5
    assert [f["subject"] for f in applied.data["failures"]] == [f"{denying.namespace}/web-9"]
    assert "denied: " in applied.data["failures"][0]["message"]
    assert dnats(node) == 1


@pytest.mark.watch_too
def test_a_refused_addition_leaves_what_was_published_before(three: Site) -> None:
    three.apply()
    published = three.area.annotation("web-1")
    assert published
    three.area.annotate("web-1", "x" * (256 * 1024 - len(published) - 60), "big")
    three.area.service("more", ((81, 9090, "TCP"),))

    applied = three.apply()

    assert applied.code == 5
    assert three.area.annotation("web-1") == published
    assert dnats(three) == 5


@pytest.mark.watch_too
def test_a_missing_right_to_patch_takes_no_rule_away(three: Site) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "services", "nodes"], "verbs": ["list", "get", "watch"]}]
    three.area.grant("restorer", rules)
    three.use(token=three.area.plane.tokens["restorer"])

    applied = three.apply()

    three.area.revoke("restorer")
    assert applied.code == 5
    assert "right to patch pods/status is missing" in applied.data["failures"][0]["message"]
    assert dnats(three) == 3


@pytest.mark.watch_too
def test_a_pod_that_goes_between_snapshot_and_patch_is_left_to_the_next_run(three: Site) -> None:
    gone = f"/api/v1/namespaces/{three.area.namespace}/pods/web-1/status"
    three.proxy.fail(faultproxy.before(lambda: three.area.delete("web-1")), gone)

    assert three.apply().code == 0
    assert (three.apply().code, dnats(three)) == (0, 2)


@pytest.mark.watch_too
def test_a_pod_created_again_between_snapshot_and_patch_is_never_given_the_old_mapping(three: Site) -> None:
    def again() -> None:
        three.area.delete("web-1")
        three.area.pod("web-1", ("10.244.3.77",))

    three.proxy.fail(faultproxy.before(again), f"/api/v1/namespaces/{three.area.namespace}/pods/web-1/status")

    assert three.apply().code == 0
    assert three.area.annotation("web-1") is None
    assert three.apply().code == 0
    assert three.area.annotation("web-1") is not None
    assert any("10.244.3.77" in rule for rule in three.ours())


def test_cleanup_takes_every_annotation_and_rule_away(three: Site) -> None:
    three.apply()

    assert three.nplconf("cleanup").returncode == 0
    assert three.ours() == []
    assert [three.area.annotation(f"web-{i}") for i in range(3)] == ["[]"] * 3


def test_cleanup_without_the_server_says_what_it_leaves(three: Site) -> None:
    three.apply()
    three.proxy.fail(faultproxy.reset(), times=1000)

    done = three.nplconf("cleanup")

    assert done.returncode == 5
    assert "annotations of this node's Pods" in done.stderr
    assert three.ours() == []


def test_cleanup_reads_the_cluster_once(three: Site) -> None:
    three.apply()
    three.proxy.requests.clear()

    assert three.nplconf("cleanup").returncode == 0
    assert len(three.proxy.seen("GET")) == 3


@pytest.mark.watch_too
def test_a_forged_annotation_is_overwritten(node: Site) -> None:
    node.area.pod(annotations={worlds.ANNOTATION: '[{"podPort":1,"nodeIP":"6.6.6.6","nodePort":1}]'})
    node.area.pod("web-1", ("10.244.3.18",), labels={"app": "other"}, annotations={worlds.ANNOTATION: "forged"})
    node.area.service()

    assert node.apply().code == 0
    assert "6.6.6.6" not in str(node.area.annotation())
    assert node.area.annotation("web-1") == "[]"
