"""The administrator's reserved ports, and those of nplconf among them."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path, PosixPath

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


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
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
def test_a_damaged_record_counts_as_missing(tmp_path: Path, damage: str) -> None:
    world = World(tmp_path, "8080")
    world.reserve()
    world.record.write_text(damage)
    assert world.release() == "8080"


def test_a_sysctl_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="none/sysctl"):
        reserve(OURS, tmp_path / "none" / "sysctl", tmp_path / "record")


# --- a long list -----------------------------------------------------------------------------------------------------

EVERY_SECOND = tuple(PortRange(number, number) for number in range(1025, 61000, 2))


class Truncating(PosixPath):
    """A list of which the first write keeps only the beginning."""

    written = 0

    def write_text(self, data: str, *_: object, **__: object) -> int:
        Truncating.written += 1
        return super().write_text(data[:1000] if Truncating.written == 1 else data)


def test_a_list_that_is_not_as_written_is_put_back(tmp_path: Path) -> None:
    before = text(EVERY_SECOND)
    (tmp_path / "sysctl").write_text(before)
    with pytest.raises(PermissionDeniedError, match="as before"):
        reserve(OURS, Truncating(tmp_path / "sysctl"), tmp_path / "record.json")
    assert (tmp_path / "sysctl").read_text() == before


def test_a_list_that_cannot_be_written_whole_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = text(EVERY_SECOND), Path.write_text
    sysctl = tmp_path / "sysctl"
    sysctl.write_text(before)

    def full(path: Path, data: str) -> int:
        if path == sysctl and data != before:
            write(path, data[:500])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(PermissionDeniedError, match="No space left"):
        reserve(OURS, sysctl, tmp_path / "record.json")
    assert sysctl.read_text() == before


PROGRAM = """\
import sys
from pathlib import Path
from nplconf.install.reserved import SYSCTL, read, release, reserve, text
from nplconf.model import PortRange

record, ours = Path(sys.argv[1]), PortRange(61000, 62000)
for numbers in (range(8000, 8010, 2), range(1025, 61000, 2), range(1025, 65535, 2)):
    SYSCTL.write_text(",".join(map(str, numbers)))
    reserve(ours, record=record)
    assert {n for one in read() for n in range(one.first, one.last + 1)} == {*numbers, *range(61000, 62001)}
    reserve(ours, record=record)
    release(ours, record=record)
    assert read() == tuple(PortRange(n, n) for n in numbers)
    print(len(text(read())))
"""


@pytest.mark.kernel
def test_the_kernels_list_keeps_every_port_of_the_administrator_at_any_length(tmp_path: Path) -> None:
    """The kernel returns its list to the first read alone; what exceeds 8 KiB was lost."""
    argv = ["unshare", "--net", sys.executable, "-c", PROGRAM, str(tmp_path / "record.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lengths = [int(line) for line in done.stdout.split()]
    assert lengths[0] < 100
    assert min(lengths[1:]) > 8192
