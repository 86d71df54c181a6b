"""One row per Service, Pod and reason, and a limit on the rows."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from nplconf.desired.skips import MOST, Skips
from nplconf.model import Skipped


def row(
    port: int | str = 80, *, pod: str | None = "shop/web-0", reason: str = "range-full", **facts: object
) -> Skipped:
    return Skipped(pod, port, "tcp", "shop/web", reason, f"why {reason}", **facts)  # type: ignore[arg-type]


def rows(*added: Skipped) -> tuple[Skipped, ...]:
    skips = Skips()
    skips.add(added)
    return skips.rows()


def test_the_row_names_the_first_port_and_counts_the_others() -> None:
    assert rows(row(9), row(10), row(8), row("name")) == (row(8, more=3),)
    assert rows(row(9), row(10), row(8)) == (row(8, more=2),)


def test_a_port_that_is_skipped_in_both_families_counts_once() -> None:
    assert rows(row(), row()) == (row(),)


def test_the_counts_of_merged_rows_are_added() -> None:
    assert rows(row(9, more=4), row(8)) == (row(8, more=5),)


def test_another_reason_or_pod_is_another_row() -> None:
    found = rows(row(), row(reason="policy"), row(pod="shop/web-1"), row(pod=None))
    assert len(found) == 4


def test_there_are_a_thousand_rows_and_one_that_counts_the_rest() -> None:
    found = rows(*(row(pod=f"shop/web-{i:05}") for i in range(MOST + 500)))
    assert len(found) == MOST + 1
    assert found[-1] == Skipped(None, 0, "", "", "and-more", "and 500 more rows", more=500)
    assert len(rows(*(row(pod=f"shop/web-{i:05}") for i in range(MOST)))) == MOST


@given(st.lists(st.integers(0, 30), max_size=40), st.randoms())
def test_any_order_gives_the_same_rows(numbers: list[int], random: Random) -> None:
    added = [row(80 + n % 5, pod=f"shop/{n % 3}", reason="policy" if n % 2 else "range-full") for n in numbers]
    assert rows(*random.sample(added, len(added))) == rows(*added)


def test_what_is_added_in_the_order_of_pods_is_cut_while_it_is_added() -> None:
    added = [row(pod=f"shop/web-{i:05}") for i in range(3 * MOST)]
    skips = Skips()
    for one in added:
        skips.add_in_order((one,))
    assert skips.rows() == rows(*added)
