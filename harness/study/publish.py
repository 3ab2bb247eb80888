"""Puts a finished study where it can be committed: tables, report, figures, compressed runs.

A published study needs nothing else: ``python -m harness report results/published/NAME`` makes its
report again from the compressed runs.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.core.command_line import command
from harness.core.errors import UsageError
from harness.core.paths import PUBLISHED
from harness.core.redact import mask_secrets, user_name
from harness.study.folder import StudyFolder

REQUIRED = ("manifest.json", "schedule.json", "report.md", "report.html", "tables", "figures")
OPTIONAL = ("diagnosis.json",)
ARCHIVE = "runs.tar.xz"
TEXTS = (".json", ".csv", ".md", ".html", ".svg")


def publish(folder: StudyFolder) -> Path:
    """The new folder under results/published/.

    Raises UsageError for a study that is unfinished, stamped, already published or not private.
    """
    manifest = folder.manifest
    _check_finished(folder, manifest)
    _check_private(folder.path)
    _check_paths(manifest)
    target = PUBLISHED / folder.path.resolve().name
    if target.exists():
        raise UsageError(f"{target} exists already; remove it to publish the study again")
    target.mkdir(parents=True)
    for name in (*REQUIRED, *OPTIONAL):
        source = folder.path / name
        if not source.exists():
            continue
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target / name)
    _pack_runs(folder.runs, target / ARCHIVE)
    _write_index()
    return target


def _check_finished(folder: StudyFolder, manifest: dict[str, Any]) -> None:
    planned = json.loads((folder.path / "schedule.json").read_text())
    missing = len(set(planned) - folder.done())
    if missing:
        raise UsageError(
            f"{folder.path} lacks {missing} of {len(planned)} runs; "
            f"`python -m harness resume {folder.path}` first"
        )
    if not all((folder.path / name).exists() for name in REQUIRED):
        raise UsageError(f"{folder.path} has no report; `harness report {folder.path}` first")
    if manifest["request"]["not_for_conclusions"]:
        raise UsageError(f"{folder.path} is stamped not for conclusions; use matrix=publish")


def _check_private(folder: Path) -> None:
    """Raises UsageError where a file names this machine's user, host, folders, or a secret."""
    private = re.compile("|".join(_private_patterns()))
    for path in folder.rglob("*"):
        if path.suffix not in TEXTS:
            continue
        text = path.read_text(encoding="utf-8")
        if found := private.search(text):
            raise UsageError(f"{path} holds {found[0]!r}, which is private; not published")
        if path.suffix != ".svg" and mask_secrets(text) != text:
            raise UsageError(f"{path} holds what looks like a secret; not published")


def _check_paths(manifest: dict[str, Any]) -> None:
    """Raises UsageError where a scenario's program or option is a path of this machine alone."""
    for cell in manifest["cells"]:
        scenario = cell["cell"]["scenario"]
        for value in (scenario["source"], *scenario["options"].values()):
            if isinstance(value, str) and value.startswith(("/", "~/")):
                raise UsageError(
                    f"scenario {scenario['label']} names {value}, a place on this "
                    "machine; put it under the folder of the study"
                )


def _private_patterns() -> Iterator[str]:
    for path in (Path.home(), Path.cwd()):
        if path != Path("/"):
            yield rf"{re.escape(str(path))}(?![\w.-])"
    for name in (user_name(), socket.gethostname()):
        if len(name) > 3 and name not in ("root", "localhost"):  # shorter ones are parts of words
            yield rf"\b{re.escape(name)}\b"


def _pack_runs(runs: Path, archive: Path) -> None:
    """Equal records give equal archives: sorted, without owners and times."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(archive, "w:xz") as tar:
        for path in sorted(runs.glob("*.json")):
            tar.add(path, f"runs/{path.name}", filter=anonymous)


def _write_index() -> None:
    """results/published/README.md, made from the manifests that lie there."""
    lines = [
        "# Published studies",
        "",
        "| study | command | machine | torch | harness |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(PUBLISHED.glob("*/manifest.json")):
        found = json.loads(path.read_text())
        name = path.parent.name
        device = found["cuda"][0]["name"] if found["cuda"] else found["machine"]["cpu"]
        cores = f", {found['machine']['usable_cores']} cores" * (not found["cuda"])
        row = (
            f"[{name}]({name}/report.md)",
            f"`{command(found['words'])}`",
            f"{device}{cores}",
            found["software"]["torch"],
            f"{found['harness']} ({found['machine']['git']})",
        )
        lines.append(f"| {' | '.join(row)} |")
    (PUBLISHED / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
