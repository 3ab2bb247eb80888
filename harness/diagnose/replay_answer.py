"""What the two kinds of replay have in common: their document and their paragraph."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness.core.command_line import command
from harness.core.files import write_json

REPLAY = "replay.json"  # in the study's folder
UNINTERRUPTED_RUNS = 3


@dataclass(frozen=True)
class ReplayAnswer:
    """How replays of a training compare with the uninterrupted training."""

    words: tuple[str, ...]
    verdict: str  # of the uninterrupted runs

    def paragraph(self) -> str:
        raise NotImplementedError

    def write(self, folder: Path) -> None:
        texts = {"paragraph": self.paragraph(), "words": command(self.words)}
        write_json(folder / REPLAY, {**dataclasses.asdict(self), **texts})

    def show(self) -> None:
        print(self.paragraph())
