"""The output of `list`: scenarios, settings, noise, matrices, and the studies in this folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from harness.core.command_line import command
from harness.core.paths import CONF, PUBLISHED, RESULTS

TITLES = {
    "scenario": "Scenarios",
    "determinism": "Determinism settings",
    "noise": "Noise sources",
    "matrix": "Matrices, each a predefined study",
    "launch": "Where runs are started",
}


def catalog() -> str:
    groups = [_format_group(group, title) for group, title in TITLES.items()]
    return "\n\n".join([*groups, _list_studies()])


def _format_group(group: str, title: str) -> str:
    """Describe each YAML file of a group by its first comment line."""
    rows = [(path.stem, _describe(path)) for path in sorted((CONF / group).glob("*.yaml"))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [f"{title} ({group}=NAME):", *(f"  {name:<{width}}  {text}" for name, text in rows)]
    )


def _describe(path: Path) -> str:
    comments = (line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#"))
    return next((line for line in comments if not line.startswith("@package")), "")


def _list_studies() -> str:
    rows = []
    folders = [*RESULTS.glob("[!.]*/"), *PUBLISHED.glob("[!.]*/")]  # hidden ones are unfinished
    for path in sorted(folder / "manifest.json" for folder in folders):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no study
            rows.append(f"  {path.parent}  {command(json.loads(path.read_text())['words'])}")
    return "\n".join([f"Studies in {RESULTS}/:", *(rows or ["  (none yet)"])])
