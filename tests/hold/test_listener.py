"""The socket file of the hold daemon: what is wrong with its path."""

from pathlib import Path

import pytest

from nplconf.errors import BadConfigError
from nplconf.hold import listener


@pytest.mark.parametrize("check", [listener.refuse_second, listener.listen])
def test_a_path_that_can_be_no_socket_is_bad_configuration(check: object, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "hold.sock", tmp_path / ("x" * 300)):
        with pytest.raises(BadConfigError, match=str(path)):
            check(str(path))  # type: ignore[operator]
