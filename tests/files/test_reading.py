"""Files of other authors."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nplconf.errors import BadDataError
from nplconf.files.reading import MissingFileError, read_text


def refused(path: Path | str, cap: int = 100) -> str:
    with pytest.raises(BadDataError) as raised:
        read_text(str(path), cap)
    return str(raised.value)


def test_a_regular_file_is_read_whole_also_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a: é\n")
    (tmp_path / "link").symlink_to("file")
    assert read_text(str(tmp_path / "file")) == read_text(str(tmp_path / "link")) == "a: é\n"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(str(tmp_path / "file")) == "a: 1"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["apiVersion: v1\n", "{}\n", "\n\n- é", "é: 1"])
def test_utf_16_and_utf_32_are_named(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "file").write_bytes(text.encode(encoding))
    message = refused(tmp_path / "file")
    assert message.startswith(f"{tmp_path}/file: is {encoding[:6].upper()}")
    assert message.endswith("save it as UTF-8")


def test_a_file_may_have_exactly_as_many_bytes_as_the_cap(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("é" * 50)
    assert read_text(str(tmp_path / "file"), 100) == "é" * 50
    assert "larger than 99 bytes" in refused(tmp_path / "file", 99)


def test_a_sparse_file_of_a_terabyte_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2**40)
    assert "larger than" in refused(tmp_path / "file")


@pytest.mark.timeout(10)
def test_a_fifo_a_directory_a_device_and_a_socket_are_refused_at_once_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        assert "socket" in refused(tmp_path / "socket")
    assert refused(tmp_path / "fifo").endswith("it is a FIFO, not a regular file")
    assert str(tmp_path) in refused(tmp_path)
    assert refused("/dev/zero").endswith("it is a device, not a regular file")


def test_a_missing_file_is_an_error_of_its_own_that_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_text(str(tmp_path / "no"))
    (tmp_path / "dangling").symlink_to("no")
    with pytest.raises(MissingFileError):
        read_text(str(tmp_path / "dangling"))


def test_a_loop_a_nul_in_the_path_and_a_file_as_a_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    assert "symbolic links" in refused(tmp_path / "loop")
    assert "Not a directory" in refused(tmp_path / "file" / "x")
    assert "embedded null" in refused("a\0b")


def test_invalid_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a: 1\nb: \xff\n")
    assert refused(tmp_path / "file").endswith("file:2: not UTF-8")


def test_an_error_shows_the_whole_name_but_no_control_character() -> None:
    name = "/nowhere/" + "x" * 200 + "\x1b[31m"
    assert refused(name) == "/nowhere/" + "x" * 200 + r"\x1b[31m: no such file"


@pytest.mark.parametrize(
    ("shell", "output"),
    [
        ("printf hello | $0 -c $1", "hello"),
        ("head -c 200 /dev/zero | $0 -c $1", "stdin: larger than 100 bytes"),
        ("$0 -c $1 <&-", "stdin: cannot be read: Bad file descriptor"),
    ],
)
def test_a_dash_is_stdin_which_may_be_a_pipe(shell: str, output: str) -> None:
    code = (
        "from nplconf.files.reading import *\ntry: print(read_text('-', 100))\nexcept BadDataError as err: print(err)"
    )
    shell = shell.replace("$1", '"$1"')
    done = subprocess.run(["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == output
