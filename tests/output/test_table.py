"""Results for a person."""

import pytest
from worlds import mapping

from nplconf.model import Change
from nplconf.output import table
from nplconf.plan.diff import Diff
from nplconf.plan.limits import Blocked
from nplconf.settings import Settings


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
@pytest.mark.parametrize(
    ("when", "message"), [("always", "\x1b[32m+ one\x1b[0m\n"), ("never", "+ one\n"), ("auto", "+ one\n")]
)
def test_always_gives_colour_to_any_output(
    environment: dict[str, str],
    when: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    table.write([("add", "+ one")], Settings(node="worker-1", color=when))  # type: ignore[arg-type]
    assert capsys.readouterr().out == message


@pytest.mark.parametrize(
    ("repairs", "text"),
    [
        (0, "Plan: 0 to add, 0 to change, 0 to delete, 1 unchanged."),
        (2, "Plan: 0 to add, 0 to change, 0 to delete, 2 to repair, 1 unchanged."),
    ],
)
def test_the_summary_names_repairs_where_there_are_any(repairs: int, text: str) -> None:
    found = Diff(tuple(Change("repair", "rule-missing", mapping()) for _ in range(repairs)), (mapping(),))
    assert table.summary(found) == ("sum", text)
    assert [line.split()[:2] for _, line in table.changes(found.changes)] == [["*", "tcp/61044"]] * repairs


def test_the_last_line_names_what_degrades_a_run() -> None:
    counts = {"ok": 1, "failed": 0}
    assert table.recap("worker-1", counts) == ("sum", "worker-1 : ok=1 failed=0")
    assert table.recap("worker-1", counts, ["no daemon"])[1] == "worker-1 : ok=1 failed=0  degraded: no daemon"


def test_each_removal_that_a_limit_blocks_has_its_line() -> None:
    blocked = Blocked("max-delete", "too much", (Change("delete", "not-selected", mapping(), mapping()),))
    ((_, line),) = table.blocked(blocked)
    assert line.startswith("! blocked: tcp/61044 shop/web-0:8080")
    assert table.blocked(None) == []
