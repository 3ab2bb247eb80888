"""The archive that holds the records of a published study, which may come from anywhere.

It is packed reproducibly (equal records give equal bytes) and unpacked without trust: into the
folder that was asked for and nowhere else, only plain files, and no more bytes than a study has.
"""

from __future__ import annotations

import lzma
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

from harness.core.record import LARGEST_FILE

ARCHIVE = "runs.tar.xz"
LARGEST_TOTAL, MOST_FILES = 8 * 2**30, 1_000_000  # 100,000 short trainings have a few gigabytes
LARGEST_READ = 2**20  # of one read: tarfile copies content in smaller parts
PART = r"[A-Za-z0-9_][\w.-]*"
NAME = re.compile(rf"(?:{PART}/){{0,3}}{PART}", re.ASCII)


class BadArchiveError(ValueError):
    """The archive is damaged, or is not one that a study can have made."""


def pack(folder: Path, names: Iterable[str], archive: Path) -> None:
    """Pack files of a folder, sorted, without owners and times. Raises OSError."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o644
        return entry

    with tarfile.open(archive, "w:xz") as tar:
        for name in sorted(names):
            tar.add(folder / name, name, filter=anonymous)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive below ``folder``. Raises OSError or BadArchiveError."""
    try:
        with lzma.open(archive) as stream, _open(stream) as tar:
            for count, entry in enumerate(tar):
                _check(entry, count)
                content = tar.extractfile(entry)
                assert content is not None  # of a plain file
                target = folder / entry.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(content, file)
    except (tarfile.TarError, lzma.LZMAError, EOFError, FileExistsError) as error:
        raise BadArchiveError(f"{archive} is no readable archive of runs: {error}") from error


@contextmanager
def opened(study: Path) -> Iterator[Path]:
    """The folder of a study; of a bundle, which is one file, that of a temporary copy.

    Raises OSError or BadArchiveError.
    """
    if not study.is_file():
        yield study
        return
    with TemporaryDirectory() as scratch:
        unpack(study, Path(scratch))
        folders = list(Path(scratch).iterdir())
        if len(folders) != 1 or not folders[0].is_dir():
            raise BadArchiveError(f"{study} is no bundle: it does not hold one folder")
        yield folders[0]


def _check(entry: tarfile.TarInfo, count: int) -> None:
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
        raise BadArchiveError(f"the archive holds {entry.name!r}, which is not a plain file")
    if not NAME.fullmatch(entry.name):
        raise BadArchiveError(f"the archive holds a file named {entry.name!r}, as no study has")
    if entry.size > LARGEST_FILE:
        raise BadArchiveError(
            f"{entry.name} in the archive has {entry.size:,} bytes; a record has at most "
            f"{LARGEST_FILE:,}"
        )
    if count >= MOST_FILES:
        raise BadArchiveError(f"the archive holds more than {MOST_FILES:,} files")


def _open(stream: lzma.LZMAFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], _Limited(stream)), mode="r:")


class _Limited:
    """A stream that ends where no study goes on: few bytes can unpack to many."""

    def __init__(self, stream: lzma.LZMAFile) -> None:
        self.stream = stream

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ:  # tarfile reads a header as a whole
            raise BadArchiveError(f"the archive holds a header of {size:,} bytes")
        if self.tell() + size > LARGEST_TOTAL:
            raise BadArchiveError(f"the archive unpacks to more than {LARGEST_TOTAL:,} bytes")
        return self.stream.read(size)

    def seek(self, position: int) -> int:
        if position > LARGEST_TOTAL:
            raise BadArchiveError(f"the archive unpacks to more than {LARGEST_TOTAL:,} bytes")
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()
