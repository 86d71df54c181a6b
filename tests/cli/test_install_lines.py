"""How `install-units` lists the files that it changed."""

from pathlib import Path

import pytest

from nplconf.cli.commands.install_units import _line


@pytest.mark.parametrize(("new", "there", "mark"), [(True, True, "+"), (False, True, "~"), (False, False, "-")])
def test_a_new_file_is_added_another_one_changed_and_a_missing_one_removed(
    tmp_path: Path, mark: str, *, new: bool, there: bool
) -> None:
    path = tmp_path / "nplconf.service"
    if there:
        path.touch()
    assert _line(str(path), new=new)[1] == f"{mark} {path}"
