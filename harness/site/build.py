"""Writes the site: pages from templates, JSON beside each, and copies of the studies."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.command_line import command
from harness.core.errors import UsageError
from harness.core.files import write_json, write_text
from harness.core.place import cite, describe_device
from harness.core.published import UNREADABLE, PublishedStudy, read_published_studies
from harness.core.sums import SUMS, check_sums, files_of
from harness.report.format import printable
from harness.report.pages.environment import make_environment
from harness.site.facts import Fact, describe_bound, describe_cost, describe_fix, find_facts
from harness.site.study_tables import PublishedCell, StudyTables, read_tables
from harness.site.trends import Trend, find_trends

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "site.json"  # the index of the site as JSON, by which a folder is known to be one
MADE_BY = "determinism-harness site"
ENTRIES = {"index.html", INDEX, "studies", "reports", "facts", "trends"}


@dataclass(frozen=True)
class Site:
    """All that the pages are made of."""

    studies: list[PublishedStudy]  # newest first
    facts: list[Fact]
    trends: list[Trend]
    unreadable: list[Path]

    def trends_of(self, study: PublishedStudy) -> list[tuple[Trend, PublishedCell]]:
        return [
            (trend, cell) for trend in self.trends for cell in trend.cells if cell.study is study
        ]

    def facts_of(self, study: PublishedStudy) -> list[Fact]:
        return [fact for fact in self.facts if any(row.study is study for row in fact.evidence)]


def read_site(published: Path) -> Site:
    """Read all studies in a folder; those that cannot be read are only listed."""
    tables: list[StudyTables] = []
    unreadable: list[Path] = []
    for study in read_published_studies(published):
        if not isinstance(study, PublishedStudy):
            unreadable.append(study)
            continue
        try:
            if any(check_sums(study.folder)):
                raise ValueError("changed since it was published")
            tables.append(read_tables(study))
        except UNREADABLE:
            unreadable.append(study.folder)
    tables.sort(key=lambda each: str(each.study.manifest["created"]), reverse=True)
    studies = [each.study for each in tables]
    return Site(studies, find_facts(tables), find_trends(tables), unreadable)


def build_site(published: Path, target: Path) -> Site:
    """Write the site of all published studies into a folder, instead of an earlier site there.

    Raises UsageError if there is no study, or if the folder holds anything else, and OSError.
    """
    if not _may_be_replaced(target):
        raise UsageError(
            f"{target} is not a site that was made by this command, or holds other files, too; "
            "choose another folder"
        )
    if target.resolve().is_relative_to(published.resolve()):
        raise UsageError(f"{target} is inside of {published}; choose another folder")
    site = read_site(published)
    if not site.studies:
        raise UsageError(
            f"{published} has no study that can be read; `{command(['publish', 'results/<id>'])}` "
            "adds one"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".site-") as scratch:
        made = Path(scratch) / "site"
        made.mkdir()
        _write_pages(made, site)
        for study in site.studies:
            _copy_study(study, made / "reports" / study.name)
        if target.exists():
            target.rename(Path(scratch) / "old")
        made.rename(target)
    return site


def _may_be_replaced(target: Path) -> bool:
    """Whether there is nothing, an empty folder, or an earlier site."""
    if target.is_symlink() or not target.is_dir():
        return not target.is_symlink() and not target.exists()
    entries = {path.name for path in target.iterdir()}
    return not entries or (entries <= ENTRIES and _was_made_here(target / INDEX))


def _was_made_here(index: Path) -> bool:
    try:
        return bool(json.loads(index.read_text(encoding="utf-8"))["made_by"] == MADE_BY)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _write_pages(folder: Path, site: Site) -> None:
    environment = make_environment(TEMPLATES)
    shared: dict[str, Any] = {
        "site": site,
        "describe_device": describe_device,
        "describe_bound": describe_bound,
        "describe_cost": describe_cost,
        "describe_fix": describe_fix,
    }

    def write(template: str, path: str, document: Mapping[str, Any], **values: Any) -> None:
        page = folder / path
        page.parent.mkdir(exist_ok=True)
        up = "" if page.parent == folder else "../"
        name = f"{page.stem}.json" if page.parent != folder else INDEX
        html = environment.get_template(template).render(up=up, json=name, **values, **shared)
        write_text(page, printable(html))
        write_json(page.with_name(name), document, indent=1)

    write("index.html.j2", "index.html", _index_document(site))
    for study in site.studies:
        write(
            "study.html.j2",
            f"studies/{study.name}.html",
            _study_document(study, site),
            study=study,
            citation=cite(study.name, study.manifest),
            command=command(study.manifest["words"]),
            files=[name for name in files_of(study.folder) if name.startswith("tables/")],
        )
    for fact in site.facts:
        write("fact.html.j2", f"facts/{fact.address}.html", fact.document(), fact=fact)
    for trend in site.trends:
        write("trend.html.j2", f"trends/{trend.address}.html", trend.document(), trend=trend)


def _index_document(site: Site) -> dict[str, Any]:
    return {
        "made_by": MADE_BY,
        "studies": [
            {
                "study": study.name,
                "page": f"studies/{study.name}.html",
                "headline": study.headline,
                "created": study.manifest["created"],
                "superseded_by": study.superseded_by or None,
            }
            for study in site.studies
        ],
        "facts": [
            {"page": f"facts/{fact.address}.html", "sentence": fact.sentence} for fact in site.facts
        ],
        "trends": [
            {"page": f"trends/{trend.address}.html", "sentence": trend.sentence}
            for trend in site.trends
        ],
    }


def _study_document(study: PublishedStudy, site: Site) -> dict[str, Any]:
    return {
        "study": study.name,
        "headline": study.headline,
        "citation": cite(study.name, study.manifest),
        "run_by": study.run_by or "own",
        "created": study.manifest["created"],
        "command": command(study.manifest["words"]),
        "machine": study.manifest["machine"],
        "software": study.manifest["software"],
        "processes": study.runs,
        "controls": study.describe_checks(),
        "superseded_by": study.superseded_by or None,
        "facts": [fact.address for fact in site.facts_of(study)],
        "trends": [trend.address for trend, _ in site.trends_of(study)],
    }


def _copy_study(study: PublishedStudy, target: Path) -> None:
    """Copy all files, so that `verify` works on the copy; no links, which could lead anywhere."""
    for name in (*files_of(study.folder), SUMS):
        path, copy = study.folder / name, target / name
        if path.is_file() and not path.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            os.chmod(copy, 0o644)  # noqa: PTH101 - a server must be able to read it
