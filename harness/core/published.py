"""What the files of a published study say of it; nothing is computed again."""

from __future__ import annotations

import csv
import json
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.core.errors import UsageError
from harness.core.place import cite
from harness.core.record import MANIFEST_SCHEMA
from harness.core.run_archive import ARCHIVE

SUPERSEDED = "superseded.toml"
OTHERS = "others.toml"
RUNS = "runs/*.*.[0-9]*.*.json"  # not the distances of cells, which are archived with them
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError),
    tarfile.TarError,
)


@dataclass(frozen=True)
class PublishedStudy:
    """A study in a folder of published studies."""

    folder: Path
    manifest: Mapping[str, Any]
    headline: str  # Markdown
    runs: str  # how many, and of how many
    checks: list[tuple[str, str]]  # control; ``passed``, ``failed``, ``inconclusive``, …
    superseded_by: str  # name of the study that replaces it, or empty
    run_by: str  # who ran it, if it came from elsewhere; or empty

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def has_failed_control(self) -> bool:
        return any(check == "failed" for _, check in self.checks)

    def describe_checks(self) -> str:
        """As in ``positive: passed; A/A twins: 6 passed, 1 inconclusive``."""
        twins = Counter(check for control, check in self.checks if control != "positive")
        parts = [f"positive: {check}" for control, check in self.checks if control == "positive"]
        if twins:
            parts.append(f"A/A twins: {', '.join(f'{n} {check}' for check, n in twins.items())}")
        return "; ".join(parts)


def read_published_studies(published: Path) -> Iterator[PublishedStudy | Path]:
    """Yield each study, in the order of names, or the folder of one that cannot be read.

    Two files beside the studies are written by hand: SUPERSEDED names the study that replaces
    another one, and OTHERS says who ran a study that came from elsewhere. Raises UsageError if one
    of them is damaged.
    """
    replaced_by, others = _read_notes(published / SUPERSEDED), _read_notes(published / OTHERS)
    folders = [folder for folder in sorted(published.glob("*/")) if not folder.name.startswith(".")]
    names = {folder.name for folder in folders}
    for folder in folders:
        newer = replaced_by.get(folder.name, "")
        try:
            yield _read_study(
                folder, newer if newer in names - {folder.name} else "", others.get(folder.name, "")
            )
        except UNREADABLE:
            yield folder


def read_checks(study: Path) -> list[tuple[str, str]]:
    """Return the study's controls and their checks, but for those that are off."""
    path = study / "tables" / "controls.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["control"], row["check"].partition(" (")[0]) for row in csv.DictReader(file)]
    return [(control, check) for control, check in rows if check != "off"]


def _read_study(folder: Path, superseded_by: str, run_by: str) -> PublishedStudy:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    _check_manifest(manifest)
    with (folder / "report.md").open(encoding="utf-8") as file:
        headline = file.readline().removeprefix("# ").strip()
    return PublishedStudy(
        folder,
        manifest,
        headline,
        _count_runs(folder, manifest["request"]),
        read_checks(folder),
        superseded_by,
        run_by,
    )


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise one of UNREADABLE if it lacks what is said of every study."""
    if manifest.get("schema", 0) > MANIFEST_SCHEMA:
        raise ValueError(f"schema {manifest['schema']}")
    texts = [manifest["created"], manifest["harness"], manifest["software"]["torch"]]
    if not all(isinstance(text, str) for text in [*texts, *manifest["words"]]):
        raise TypeError("no text")
    cite("", manifest)


def _read_notes(path: Path) -> dict[str, str]:
    try:
        notes = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    if not all(isinstance(value, str) for value in notes.values()):
        raise UsageError(f'{path}: each line must be study = "text"')
    return notes


def _count_runs(study: Path, request: Mapping[str, Any]) -> str:
    """How many runs are recorded, and of how many if planned ones that were needed are missing."""
    planned = json.loads((study / "schedule.json").read_text())
    with tarfile.open(study / ARCHIVE) as archive:
        files = set(archive.getnames())
    recorded = sum(PurePosixPath(name).match(RUNS) for name in files)
    missing = sum(f"runs/{run_id}.json" not in files for run_id in planned)
    has_stages = request["runs"].get("first") or request["timing"].get("first")
    is_short = missing and not has_stages
    return f"{recorded:,}" + f" of {recorded + missing:,}" * bool(is_short)
