"""The result of `recipe`: a JSON document for the report, and snippets to paste."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.command_line import command
from harness.core.exit_codes import DONE, FAILED
from harness.core.files import write_json
from harness.core.paths import RECIPE
from harness.diagnose.recipe_snippets import snippets


@dataclass(frozen=True)
class Evidence:
    """What happened in a cell without one of the necessary switches."""

    cell: str
    verdict: str
    agrees: bool
    differ: str  # how many processes, in words
    step: int | None  # of the first divergence
    component: str
    failure: str  # of the first run that did not complete


@dataclass(frozen=True)
class Recipe:
    """``kept`` are the necessary switches with their values; empty ``cell``: there is no recipe."""

    cell: str
    full: str  # the cell that the search began with
    kept: Mapping[str, Any]
    without: Mapping[str, Evidence]  # by the switch that was left out; "" : none
    unneeded: Sequence[str]
    without_effect: Sequence[str]  # of the setting, on this device
    runs: int  # independent runs that agree
    rate: float  # upper bound on the chance that a fresh process differs
    screen: int  # runs by which each set was judged
    missed: float  # a difference as rare as this can have been missed in each
    sets: int  # that were tried
    alternative: Evidence | None = None  # one thread in place of deterministic algorithms
    contradictions: Sequence[tuple[list[str], list[str]]] = ()
    added: Mapping[str, str] = field(default_factory=dict)  # cell of `seed` and this switch
    taken: Mapping[str, str] = field(default_factory=dict)  # cell of all but this switch
    words: Sequence[str] = ()

    @property
    def exit_status(self) -> int:
        return DONE if self.cell else FAILED

    def write(self, folder: Path) -> None:
        document = dataclasses.asdict(self)
        document["snippets"] = snippets(self.kept) if self.cell else {}
        document["diagnose"] = command(["diagnose", *self.words[1:]])
        write_json(folder / RECIPE, document)

    def show(self) -> None:
        for name, text in (snippets(self.kept) if self.cell else {}).items():
            print(f"\n# {name}\n{text}")
