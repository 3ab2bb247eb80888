"""Several fresh runs' results against the first one's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from harness.core.leaf_file import TENSORS, read
from harness.core.verdict import Verdict
from harness.testing.difference import Difference, difference


@dataclass(frozen=True)
class Comparison:
    """What n runs in n fresh processes gave, by their exact bits."""

    runs: int
    distinct: int  # different results
    differing: int  # runs whose result is not run 1's
    verdict: Verdict  # identical, varies, or not tested (one run)
    parted: int | None = None  # the first run, counted from 1, that differs from run 1
    difference: Difference | None = None  # between run 1 and that run

    def describe(self) -> str:
        if self.difference is None:
            return f"no difference was seen in {self.runs} runs"
        others = "1 differs" if self.differing == 1 else f"{self.differing} differ"
        return (
            f"of {self.runs} runs {others} from run 1 ({self.distinct} different results).\n"
            f"{self.difference.describe('run 1', f'run {self.parted}')}."
        )


def compare(folders: Iterable[Path]) -> Comparison:
    """Takes each run's folder when it is there; deletes the tensors of all but run 1."""
    results = []
    parted, found = None, None
    reference = None
    for number, folder in enumerate(folders, 1):
        results.append(frozenset(leaves := read(folder)))
        tensors = folder / TENSORS
        if reference is None:
            reference = (leaves, tensors)
            continue
        if found is None and results[-1] != results[0]:
            parted = number
            found = difference(reference[0], leaves, load_file(reference[1]), load_file(tensors))
        tensors.unlink()
    differing = sum(one != results[0] for one in results)
    verdict = Verdict.varies if differing else Verdict.identical
    return Comparison(
        runs=len(results),
        distinct=len(set(results)),
        differing=differing,
        verdict=verdict if len(results) > 1 else Verdict.not_tested,
        parted=parted,
        difference=found,
    )
