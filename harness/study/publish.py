"""Copies a finished study to where it can be committed: tables, report, figures, compressed runs.

A published study is self-contained: ``python -m harness report results/published/NAME`` rebuilds
its report from the compressed runs.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.command_line import command
from harness.core.completion import was_cut
from harness.core.errors import UsageError
from harness.core.evidence import EVIDENCE, LinkError, copy_evidence
from harness.core.files import write_text
from harness.core.paths import PUBLISHED, RESULTS
from harness.core.place import describe_device
from harness.core.published import PublishedStudy, read_checks, read_published_studies
from harness.core.redact import mask_secrets, user_name
from harness.core.run_archive import ARCHIVE, pack, unpack
from harness.core.sums import SUMS, check_sums, files_of, write_sums
from harness.study.folder import StudyFolder
from harness.study.reporting import report

BUNDLE = ".bundle.tar.xz"
DOWNLOAD = re.compile("base64,[A-Za-z0-9+/=]+")  # a table in a page, which is a file as well
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BAR = "&#124;"  # in a cell of a table
TEXTS = (".json", ".csv", ".md", ".html", ".svg")


def publish(folder: StudyFolder, force: bool = False) -> Path:
    """Publishes a study and returns its new folder under results/published/.

    ``force`` publishes a study that is unfinished or whose control failed; its report and the index
    say so. Raises UsageError for such a study otherwise, if it is stamped "not for conclusions" or
    already published, or if its files contain private data.
    """
    manifest = folder.manifest
    if not force:
        _check_finished(folder)
    _check_conclusive(folder, manifest)
    _check_paths(manifest)
    target = PUBLISHED / folder.path.resolve().name
    if target.exists():
        raise UsageError(f"{target} exists already; remove it to publish the study again")
    with _published_form(folder) as made:
        if not force and any(check == "failed" for _, check in read_checks(made)):
            raise UsageError(
                f"a control of {folder.path} failed, so its numbers are not to be trusted; run it "
                "again, or publish it marked as failed with --force"
            )
        PUBLISHED.mkdir(exist_ok=True)
        try:
            made.rename(target)
        except OSError as error:  # another process was faster
            raise UsageError(f"{target} exists already") from error
    _write_index()
    return target


def bundle(folder: StudyFolder) -> Path:
    """Packs a study, finished or not, into one file beside it, which `verify` and `compare` read.

    Raises UsageError if it has no runs or contains private data, and ReportError.
    """
    if not folder.records() and not (folder.path / ARCHIVE).exists():
        raise UsageError(f"{folder.path} has no runs")
    _check_paths(folder.manifest)
    target = folder.path.resolve().with_name(f"{folder.path.resolve().name}{BUNDLE}")
    with _published_form(folder) as made:
        names = [f"{made.name}/{name}" for name in (*files_of(made), SUMS)]
        pack(made.parent, names, target)
    return target


@contextmanager
def _published_form(folder: StudyFolder) -> Iterator[Path]:
    """A temporary folder of the study's name, with its report and its records in an archive.

    Raises UsageError if it contains private data.
    """
    name = folder.path.resolve().name
    if not STUDY_NAME.fullmatch(name):
        raise UsageError(
            f"the folder is named {name!r}: rename it, as names of published studies have at most "
            "100 letters, digits, `.`, `_` and `-`, and begin with one of the first two"
        )
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix=".publish-") as scratch:
        made = Path(scratch) / name
        try:
            copy_evidence(folder.path, made)
        except LinkError as error:
            raise UsageError(f"{error}; nothing published") from error
        report(made, ["--quiet"])
        _check_private(made)
        write_sums(made)
        yield made


def refresh(folder: StudyFolder) -> Path:
    """Makes the report of a published study again, by this version, and lists it anew.

    Raises UsageError if its records are not those that were published, and ReportError.
    """
    changed = [fault for fault in check_sums(folder.path) if _is_evidence(folder.path, fault)]
    if changed:
        raise UsageError(f"{changed[0]}; restore it, or publish the study under another name")
    replaced = folder.path.with_name(f".{folder.path.name}.replaced")  # survives whatever happens
    shutil.rmtree(replaced, ignore_errors=True)  # left by a process that was killed after renaming
    with _published_form(folder) as made:
        folder.path.rename(replaced)
        try:
            made.rename(folder.path)
        except BaseException:
            replaced.rename(folder.path)
            raise
    shutil.rmtree(replaced)
    _write_index()
    return folder.path


def _is_evidence(study: Path, fault: str) -> bool:
    return any(fault.startswith(f"{study / name} ") for name in (*EVIDENCE, ARCHIVE))


def _check_finished(folder: StudyFolder) -> None:
    missing = len(folder.unfinished())
    if not folder.records():
        raise UsageError(f"{folder.path} has no runs")
    if missing and not was_cut(folder.path):
        raise UsageError(
            f"{folder.path} lacks {missing} of {len(folder.schedule)} runs; first run "
            f"`{command(['resume', str(folder.path)])}`, or publish what there is with --force"
        )


def _check_conclusive(folder: StudyFolder, manifest: dict[str, Any]) -> None:
    if manifest["request"]["not_for_conclusions"]:
        raise UsageError(
            f"{folder.path} is stamped not for conclusions; run matrix=publish instead"
        )


def _check_private(folder: Path) -> None:
    """Raises UsageError if a file contains this machine's user, host or folders, or a secret."""
    private = re.compile("|".join(_private_patterns()))
    for path in folder.rglob("*"):
        if path.suffix not in TEXTS:
            continue
        text = DOWNLOAD.sub("", path.read_text(encoding="utf-8"))
        if match := private.search(text):
            raise UsageError(f"{path} contains {match[0]!r}, which is private; nothing published")
        if path.suffix != ".svg" and mask_secrets(text) != text:
            raise UsageError(f"{path} contains what looks like a secret; nothing published")
    _check_records(folder / ARCHIVE, private)


def _check_records(archive: Path, private: re.Pattern[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archive, Path(scratch))
        for path in Path(scratch).rglob("*.json"):
            if match := private.search(path.read_text(encoding="utf-8", errors="replace")):
                raise UsageError(
                    f"the record {path.name} contains {match[0]!r}, which is private; nothing "
                    "published"
                )


def _check_paths(manifest: dict[str, Any]) -> None:
    """Raises UsageError if a scenario's program or option is a path that only this machine has."""
    for cell in manifest["cells"]:
        scenario = cell["cell"]["scenario"]
        options = json.dumps(scenario["options"])
        values = [scenario["source"], *re.findall(r'"((?:/|~/)[^"]*)"', options)]
        for value in values:
            if isinstance(value, str) and value.startswith(("/", "~/")):
                raise UsageError(
                    f"scenario {scenario['label']} uses {value}, a path on this machine; "
                    "run the study with a path relative to the working directory"
                )


def _private_patterns() -> Iterator[str]:
    for path in (Path.home(), Path.cwd()):
        if path != Path("/"):
            yield rf"{re.escape(str(path))}(?![\w.-])"
    for name in (user_name(), socket.gethostname()):
        if len(name) > 3 and name not in ("root", "localhost"):  # shorter ones match ordinary words
            yield rf"\b{re.escape(name)}\b"


def index_is_current() -> bool:
    """Whether the index lists what the published studies say."""
    index = PUBLISHED / "README.md"
    return index.is_file() and index.read_text(encoding="utf-8") == _index()


def _write_index() -> None:
    write_text(PUBLISHED / "README.md", _index())


def _index() -> str:
    """The index of the published studies."""
    heads = "study, found, command, processes, controls, machine, torch, harness, superseded by"
    lines = [
        "# Published studies",
        "",
        f"| {heads.replace(', ', ' | ')} |",
        "|---" * len(heads.split(", ")) + "|",
    ]
    for study in read_published_studies(PUBLISHED):
        cells = (
            _index_row(study)
            if isinstance(study, PublishedStudy)
            else [study.name, "cannot be read"] + [""] * 7
        )
        lines.append(f"| {' | '.join(text.replace('|', BAR) for text in cells)} |")
    return "\n".join(lines) + "\n"


def _index_row(study: PublishedStudy) -> list[str]:
    manifest, name, newer = study.manifest, study.name, study.superseded_by
    return [
        f"[{name}]({name}/report.md){f', run by {study.run_by}' * bool(study.run_by)}",
        study.headline,
        f"`{command(manifest['words'])}`",
        study.runs,
        study.describe_checks(),
        describe_device(manifest),
        manifest["software"]["torch"],
        f"{manifest['harness']} ({manifest['machine']['git']})",
        f"[{newer}]({newer}/report.md)" if newer else "",
    ]
