"""Damage to the state file: no port moves, the run reports it, and the next run finds everything in order."""

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from changing import Site
from echo import Answer
from netns import world
from watching import Driven
from worlds import annotations

pytestmark = pytest.mark.kernel


def from_the_future(path: Path) -> None:
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))


def of_strange_values(path: Path) -> None:
    body = '{"addresses": {}, "boot": 5, "cluster": [], "cooling": [[1, 2, 3, 4]]}\nnull\n'
    path.write_text(f'{{"version": 1, "crc32": {zlib.crc32(body.encode())}}}\n{body}')


def a_link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.unlink()
        make(path)

    return put


FATES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda path: os.truncate(path, 200), "damaged (checksum)"),
    "empty": (lambda path: os.truncate(path, 0), "damaged"),
    "rubbish": (lambda path: path.write_bytes(bytes(range(256))), "cannot be read"),
    "other JSON": (lambda path: path.write_text('{"hello": 1}\n'), "damaged"),
    "too deep": (lambda path: path.write_text("[" * 100_000), "damaged"),
    "from the future": (from_the_future, "version 2, this nplconf knows 1"),
    "of strange values": (of_strange_values, "damaged"),
    "of 300 MiB": (lambda path: os.truncate(path, 300 << 20), "not a regular file of a possible size"),
    "another user's": (lambda path: os.chown(path, 65534, -1), "others than root can write it: user 65534"),
    "everybody's": (lambda path: path.chmod(0o666), "others than root can write it"),
    "a link": (a_link, "cannot be read"),
    "a link to nowhere": (instead(lambda path: path.symlink_to("nowhere")), "cannot be read"),
    "a FIFO": (instead(os.mkfifo), "not a regular file"),
    "a device": (instead(lambda path: os.mknod(path, 0o20600, os.makedev(1, 5))), "not a regular file"),
    "a directory": (instead(os.mkdir), "not a regular file"),
    "gone": (os.unlink, ""),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Iterator[Site]:
    """A node that serves one Pod."""
    with world(tmp_path_factory.mktemp("site"), "nft", Site) as made, driven(made):
        made.start_hold()
        made.serve_pod("web-0", "10.244.3.17")
        assert made.apply().code == 0
        yield made


@pytest.mark.watch_too
@pytest.mark.parametrize("fate", FATES)
def test_a_damaged_state_file_moves_no_number_and_is_reported(node: Site, fate: str) -> None:
    become, says = FATES[fate]
    number, published = node.number(), annotations(node.cluster)
    path = node.directory / "state" / "state.json"
    become(path)

    run = node.apply()

    stays = fate == "a directory"
    assert run.code == (5 if stays else 0)
    assert says in run.stderr
    assert (str(path) in run.stderr) == bool(says)
    assert ("rebuilt from the live rules" in run.stderr) == bool(says)
    assert ("the state file cannot be written (Is a directory)" in run.stderr) == stays
    assert (run.data["changes"], run.data["patches"], run.data["summary"]["ok"]) == ([], [], 1)
    assert (node.number(), annotations(node.cluster)) == (number, published)
    assert node.ask("client", "10.10.10.10", number) == Answer("web-0", 8080, "10.10.10.77")
    if stays:
        path.rmdir()
    assert path.is_file() != stays
    assert not path.is_symlink()
    again = node.apply()
    assert (again.code, again.stderr) == (0, "")
