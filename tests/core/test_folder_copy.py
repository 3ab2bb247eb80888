"""Copies of a folder and their digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.folder_copy import copy_folder, describe_folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "train.py").write_text("train")
    (folder / "package" / "model.py").write_text("model")
    (folder / "link.py").symlink_to("train.py")
    return folder


def copy_of(folder: Path, name: str) -> Path:
    copy = folder.parent / name
    copy_folder(folder, copy, ())
    return copy


def test_two_copies_of_a_folder_have_equal_digests(project: Path) -> None:
    """Neither the place of a copy nor the age of its files counts, also in a copy of a copy."""
    first = copy_of(project, "first")
    (project / "train.py").touch()
    second = copy_of(copy_of(project, "second"), "third")
    assert describe_folder(first) == describe_folder(second)
    assert describe_folder(first).files == 3
    assert (second / "link.py").resolve() == second / "train.py"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "train.py").write_text("trein"),
        lambda folder: (folder / "train.py").rename(folder / "main.py"),
        lambda folder: (folder / "empty").rmdir(),
        lambda folder: (folder / "new.py").touch(),
        lambda folder: (folder / "link.py").unlink(),
    ],
)
def test_a_change_of_any_entry_changes_the_digest(
    change: Callable[[Path], object], project: Path
) -> None:
    """Contents, names, empty folders and links all count."""
    before = describe_folder(copy_of(project, "before"))
    change(project)
    assert describe_folder(copy_of(project, "after")).digest != before.digest
