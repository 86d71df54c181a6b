"""Lists in messages are cut."""

import pytest

from nplconf.lists import MOST, listed
from nplconf.model import Change, PodRef, PortMapping
from nplconf.output import table


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (2000, "0, 1, 2 and 1,997 more")]
)
def test_a_list_names_the_first_items_and_counts_the_rest(count: int, text: str) -> None:
    assert listed((str(i) for i in range(count)), most=3) == text


def test_a_mapping_that_thousands_of_services_ask_for_is_one_short_line() -> None:
    services = tuple(f"shop/s-{i:04}" for i in range(2000))
    mapping = PortMapping(61000, "tcp", "IPv4", "10.0.0.1", PodRef("shop", "web", "u"), "10.1.0.1", 80, services)
    line = table.change(Change("add", "new", mapping))
    assert len(line) < 300
    assert line.endswith(f"and {2000 - MOST:,} more")
