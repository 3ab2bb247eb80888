"""The entries of a folder come in another order, however it is listed."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from harness.factors.catalog import FACTORS
from harness.factors.factor import Level


@pytest.mark.parametrize("level", FACTORS["directory_order"].levels(None), ids=lambda one: one.name)
def test_every_way_to_list_a_folder_is_reordered(level: Level, tmp_path: Path) -> None:
    """By the os module, glob and pathlib, whose ways differ between versions of Python."""
    for number in (2, 0, 3, 1):
        (tmp_path / f"f{number}").touch()
    with level.inside():
        listed = [tmp_path.iterdir(), tmp_path.glob("*"), tmp_path.rglob("f*")]
        listed += [next(os.walk(tmp_path))[2], os.listdir(tmp_path)]  # noqa: PTH208 - one of them
        listed += [glob.glob(f"{tmp_path}/*")]  # noqa: PTH207 - as above
        listed += [[entry.name for entry in os.scandir(tmp_path)]]
        names = {" ".join(Path(entry).name for entry in entries) for entries in listed}
    assert names == {"f0 f1 f2 f3" if level.name == "sorted" else "f3 f2 f1 f0"}
