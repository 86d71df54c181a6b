"""The readiness gate's condition in a file is the one that an API server would have after the patch."""

from typing import Any

from worlds import raw_annotation, raw_pod, ref

from nplconf.cluster.file.merge_patch import annotated
from nplconf.cluster.objects import read_pod
from nplconf.model import GATE, Condition, Patch

READY = {"type": "Ready", "status": "False"}
PUBLISHED = Condition("True", "Published", "all")


def after(raw: dict[str, Any], condition: Condition | None = PUBLISHED, *, transition: bool = True) -> dict[str, Any]:
    found = annotated(raw, Patch(ref(), "[]", condition, transition=transition), 1_700_000_000.0)
    assert isinstance(found, dict)
    return found


def gated(*conditions: dict[str, str]) -> dict[str, Any]:
    raw = raw_pod()
    raw["spec"]["readinessGates"] = [{"conditionType": GATE}]
    raw["status"]["conditions"] = list(conditions)
    return raw


def test_the_condition_is_added_beside_the_kubelets() -> None:
    raw = gated(READY)
    found = after(raw)
    assert raw["status"]["conditions"] == [READY]
    assert raw_annotation(found) == "[]"
    assert found["status"]["conditions"] == [
        READY,
        {
            "type": GATE,
            "status": "True",
            "reason": "Published",
            "message": "all",
            "lastTransitionTime": "2023-11-14T22:13:20Z",
        },
    ]
    pod = read_pod(found)
    assert pod is not None
    assert (pod.gated, pod.condition) == (True, PUBLISHED)


def test_the_time_changes_with_the_status_alone() -> None:
    first = after(gated(), Condition("False", "RangeFull", "full"))
    second = after(first, Condition("False", "Degraded", "broken"), transition=False)
    (found,) = second["status"]["conditions"]
    assert (found["reason"], found["lastTransitionTime"]) == ("Degraded", "2023-11-14T22:13:20Z")


def test_without_a_condition_the_status_is_left_alone() -> None:
    raw = gated(READY)
    assert after(raw, None)["status"] == raw["status"]


def test_a_status_that_is_no_mapping_gets_one() -> None:
    raw = gated() | {"status": None}
    assert [found["type"] for found in after(raw)["status"]["conditions"]] == [GATE]
