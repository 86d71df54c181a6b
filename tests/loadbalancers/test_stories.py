"""No request is lost: representative stories. All of them: `make loadbalancers`."""

from pathlib import Path

import kube
import pytest

from loadbalancers.events import MODES, STORIES, Story
from loadbalancers.stories import play

pytestmark = [pytest.mark.api, pytest.mark.kernel, pytest.mark.loadbalancers]
CHOSEN = ("rolling update, 2 replicas, surge 1", "node drain, 2 replicas", "nplconf restarted")


@pytest.mark.parametrize("story", [story for story in STORIES if story.name in CHOSEN], ids=lambda story: story.name)
def test_no_request_is_lost_with_watch_and_gate(story: Story, plane: kube.ControlPlane, tmp_path: Path) -> None:
    found = play(story, MODES[0], plane, tmp_path)
    assert [one for one in found if one.lost or one.requests < 50] == []
