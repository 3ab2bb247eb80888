"""What there is: scenarios, settings, noise, matrices and the studies of this folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from harness.core.command_line import command
from harness.core.paths import CONF, RESULTS

GROUPS = ("scenario", "determinism", "noise", "matrix")


def catalog() -> str:
    parts = [_format_group(group) for group in GROUPS]
    return "\n\n".join([*parts, _list_studies()])


def _format_group(group: str) -> str:
    """Each YAML by its first comment line."""
    rows = [(path.stem, _describe(path)) for path in sorted((CONF / group).glob("*.yaml"))]
    width = max(len(name) for name, _ in rows)
    return "\n".join([f"{group}=", *(f"  {name:<{width}}  {text}" for name, text in rows)])


def _describe(path: Path) -> str:
    comments = (line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#"))
    return next((line for line in comments if not line.startswith("@package")), "")


def _list_studies() -> str:
    rows = []
    for path in sorted(RESULTS.glob("**/manifest.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # no study's, or half of one
            rows.append(f"  {path.parent}  {command(json.loads(path.read_text())['words'])}")
    return "\n".join(["studies", *(rows or ["  none here yet"])])
