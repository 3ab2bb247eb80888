"""Archives of runs: what is packed comes back, and hostile ones write nothing elsewhere."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core import run_archive
from harness.core.run_archive import BadArchiveError, pack, unpack

Add = Callable[[tarfile.TarFile], None]


def a_file(name: str, content: bytes = b"{}") -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))

    return add


def a_link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        tar.addfile(entry)

    return add


def a_claim(name: str, size: int) -> Add:
    """A header that claims more bytes than follow."""

    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = size
        tar.fileobj.write(entry.tobuf(tar.format))  # type: ignore[union-attr]

    return add


def a_long_header(size: int) -> Add:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo("pax")
        entry.type, entry.size = tarfile.XHDTYPE, size
        tar.fileobj.write(entry.tobuf(tarfile.USTAR_FORMAT))  # type: ignore[union-attr]
        tar.fileobj.write(b"0" * size)  # type: ignore[union-attr]

    return add


def archive_of(path: Path, *adds: Add) -> Path:
    with tarfile.open(path, "w:xz", preset=0) as tar:
        for add in adds:
            add(tar)
    return path


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    """Files have the same content after packing and unpacking."""
    (tmp_path / "runs").mkdir()
    for name in ("runs/b.json", "runs/a.json"):
        (tmp_path / name).write_text(name)
    pack(tmp_path, ["runs/b.json", "runs/a.json"], tmp_path / "runs.tar.xz")
    unpack(tmp_path / "runs.tar.xz", tmp_path / "back")
    assert (tmp_path / "back/runs/a.json").read_text() == "runs/a.json"
    assert (tmp_path / "back/runs/b.json").read_text() == "runs/b.json"


def test_equal_files_give_equal_archives(tmp_path: Path) -> None:
    """Times, modes and the order of names leave no trace."""
    for name, order, mode in (("one", ["a", "b"], 0o600), ("two", ["b", "a"], 0o644)):
        folder = tmp_path / name
        folder.mkdir()
        for file in order:
            (folder / file).write_text(file)
            (folder / file).chmod(mode)
        pack(folder, order, tmp_path / f"{name}.tar.xz")
    assert (tmp_path / "one.tar.xz").read_bytes() == (tmp_path / "two.tar.xz").read_bytes()


HOSTILE: dict[str, tuple[list[Add], str]] = {
    "parent": ([a_file("../outside.json")], "named '../outside.json'"),
    "parent inside": ([a_file("runs/../../outside.json")], "named 'runs/../../outside.json'"),
    "absolute": ([a_file("/tmp/outside.json")], "named '/tmp/outside.json'"),  # noqa: S108
    "hidden": ([a_file("runs/.hidden")], "named 'runs/.hidden'"),
    "newline": ([a_file("runs/a\nb.json")], r"named 'runs/a\nb.json'"),
    "escape": ([a_file("runs/\x1b[2J.json")], r"named 'runs/\x1b[2J.json'"),
    "deep": ([a_file("a/b/c/d/e.json")], "named 'a/b/c/d/e.json'"),
    "linked folder": (
        [a_link("runs", "/var"), a_file("runs/a.json")],
        "'runs', which is not a plain file",
    ),
    "symbolic link": (
        [a_link("runs/a.json", "/etc/passwd")],
        "'runs/a.json', which is not a plain file",
    ),
    "hard link": ([a_link("runs/a.json", "/etc/passwd", tarfile.LNKTYPE)], "not a plain file"),
    "pipe": ([a_link("runs/a.json", "", tarfile.FIFOTYPE)], "not a plain file"),
    "device": ([a_link("runs/a.json", "", tarfile.CHRTYPE)], "not a plain file"),
    "ten gigabytes": ([a_claim("runs/a.json", 10 * 2**30)], "10,737,418,240 bytes; a record"),
    "long header": ([a_long_header(2 * 2**20)], "a header of 2,097,152 bytes"),
    "truncated": ([a_claim("runs/a.json", 100_000)], "no readable archive"),
    "twice": ([a_file("runs/a.json"), a_file("runs/a.json")], "no readable archive"),
}


@pytest.mark.parametrize(("adds", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, adds: list[Add], problem: str) -> None:
    """An entry that no study has is named and refused, and nothing is written outside."""
    archive = archive_of(tmp_path / "runs.tar.xz", *adds)
    with pytest.raises(BadArchiveError) as refused:
        unpack(archive, tmp_path / "target/inside")
    assert problem in str(refused.value)
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {"runs.tar.xz", "a.json"}


@pytest.mark.parametrize("limit", ["LARGEST_TOTAL", "MOST_FILES"])
def test_an_archive_of_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The sum of all files and their number have a limit as well."""
    monkeypatch.setattr(run_archive, limit, {"LARGEST_TOTAL": 100_000, "MOST_FILES": 5}[limit])
    adds = [a_file(f"runs/{number}.json", b"0" * 20_000) for number in range(8)]
    with pytest.raises(BadArchiveError, match="more than"):
        unpack(archive_of(tmp_path / "runs.tar.xz", *adds), tmp_path / "target")


@pytest.mark.parametrize("content", [b"", b"no archive", lzma.compress(b"no tar")])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty, foreign or wrongly packed file is refused by name."""
    path = tmp_path / "runs.tar.xz"
    path.write_bytes(content)
    with pytest.raises(BadArchiveError, match=r"runs\.tar\.xz is no readable archive"):
        unpack(path, tmp_path / "target")
