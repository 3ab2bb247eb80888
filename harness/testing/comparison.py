"""Comparison of the results of several fresh runs with the first run's."""

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
    """The bitwise comparison of runs in fresh processes."""

    runs: int
    distinct: int  # number of distinct results
    differing: int  # number of runs whose result differs from run 1
    verdict: Verdict  # identical, varies, or not tested (only one run)
    parted: int | None = None  # number, counted from 1, of the first run that differs from run 1
    difference: Difference | None = None  # between run 1 and that run

    def describe(self) -> str:
        if self.difference is None:
            return f"no difference observed in {self.runs} runs"
        verb = "differs" if self.differing == 1 else "differ"
        return (
            f"{self.differing} of {self.runs} runs {verb} from run 1 "
            f"({self.distinct} distinct results).\n"
            f"{self.difference.describe('run 1', f'run {self.parted}')}."
        )


def compare(folders: Iterable[Path]) -> Comparison:
    """Read each run's folder as it arrives; delete the tensors of every run but run 1."""
    results = []
    first_differing, first_difference = None, None
    reference = None
    for number, folder in enumerate(folders, 1):
        results.append(frozenset(leaves := read(folder)))
        tensors = folder / TENSORS
        if reference is None:
            reference = (leaves, tensors)
            continue
        if first_difference is None and results[-1] != results[0]:
            first_differing = number
            first_difference = difference(
                reference[0], leaves, load_file(reference[1]), load_file(tensors)
            )
        tensors.unlink()
    differing = sum(result != results[0] for result in results)
    verdict = Verdict.varies if differing else Verdict.identical
    return Comparison(
        runs=len(results),
        distinct=len(set(results)),
        differing=differing,
        verdict=verdict if len(results) > 1 else Verdict.not_tested,
        parted=first_differing,
        difference=first_difference,
    )
