"""The administrator's reserved ports, with ours among them."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.errors import PermissionDeniedError
from nplconf.install.reserved import parse, release, reserve, text, without
from nplconf.model import PortRange

OURS = PortRange(61000, 62000)
RANGES = st.lists(st.builds(lambda a, b: PortRange(min(a, b), max(a, b)), st.integers(1, 90), st.integers(1, 90)))


def numbers(ranges: list[PortRange] | tuple[PortRange, ...]) -> set[int]:
    return {number for one in ranges for number in range(one.first, one.last + 1)}


class World:
    """A sysctl and a record, each a file."""

    def __init__(self, directory: Path, administrator: str) -> None:
        self.sysctl, self.record = directory / "sysctl", directory / "run" / "reserved-ports.json"
        self.sysctl.write_text(administrator + "\n")

    def reserve(self, port_range: PortRange = OURS) -> str:
        reserve(port_range, self.sysctl, self.record)
        return self.sysctl.read_text().strip()

    def release(self) -> str:
        release(OURS, self.sysctl, self.record)
        return self.sysctl.read_text().strip()


@given(RANGES)
def test_the_text_has_every_number_once_and_is_read_back(ranges: list[PortRange]) -> None:
    written = parse(text(ranges))
    assert numbers(written) == numbers(ranges)
    assert all(a.last + 1 < b.first for a, b in pairwise(written))


@given(RANGES, st.integers(1, 90), st.integers(1, 90))
def test_a_range_is_taken_out_and_nothing_else(ranges: list[PortRange], a: int, b: int) -> None:
    gone = PortRange(min(a, b), max(a, b))
    assert numbers(without(ranges, gone)) == numbers(ranges) - numbers([gone])


@pytest.mark.parametrize("theirs", ["", "8080", "8080,30000-32767", "61500", "60990-61000", "61000-62000"])
def test_the_administrators_value_is_kept_and_comes_back(tmp_path: Path, theirs: str) -> None:
    world = World(tmp_path, theirs)
    assert numbers(parse(world.reserve())) == numbers(parse(theirs)) | numbers([OURS])
    assert world.release() == theirs
    assert not world.record.exists()


def test_once_more_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "8080,61500")
    first = world.reserve()
    assert world.reserve() == first
    assert world.release() == "8080,61500"


def test_another_range_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    world = World(tmp_path, "8080")
    world.reserve(PortRange(50000, 50010))
    assert world.reserve() == "8080,61000-62000"


@pytest.mark.parametrize(
    ("written", "his"),
    [
        ("9090", "9090"),
        ("", ""),
        ("9090,61500", "9090,61500"),
        ("8080,9090,61000-62000", "8080,9090"),
        ("60900-62100", "60900-62100"),
    ],
)
@pytest.mark.parametrize("again", [True, False])
def test_what_the_administrator_sets_later_is_his_new_value(
    tmp_path: Path, written: str, his: str, *, again: bool
) -> None:
    world = World(tmp_path, "8080")
    world.reserve()
    world.sysctl.write_text(f"{written}\n")
    if again:
        assert numbers(parse(world.reserve())) == numbers(parse(his)) | numbers([OURS])
    assert world.release() == his
    assert not world.record.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"administrator": 1, "range": "x"}', '{"administrator": ""}'])
def test_a_damaged_record_is_none(tmp_path: Path, damage: str) -> None:
    world = World(tmp_path, "8080")
    world.reserve()
    world.record.write_text(damage)
    assert world.release() == "8080"


def test_a_sysctl_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="none/sysctl"):
        reserve(OURS, tmp_path / "none" / "sysctl", tmp_path / "record")
