"""The search on simulated trainings: planted factors are named, and hardly ever another one.

Only the runs are simulated; groups, tests and findings are those of the command.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from harness.core.record import Outcome, RunRecord
from harness.core.spec import Cell, Kind, RunSpec
from harness.factors.catalog import FACTORS
from harness.perturb.dependence import describe_dependence
from harness.perturb.perturb_search import PerturbSearch
from harness.study.request import Perturb
from tests.conftest import repeat

# Factors of every group that need nothing of the machine.
NAMES = """seed_torch threads instruction_set wait_policy thread_switches hash_seed directory_order
time_zone locale umask home environment_size""".split()
Truth = Callable[[set[str], random.Random], str]  # of the factors varied, the result of a run
MakeCell = Callable[..., Cell]


@dataclass
class Options:
    perturb: Perturb
    words: tuple[str, ...] = ("perturb",)


@dataclass
class Simulated:
    """What a search needs of an experiment, with runs that cost nothing."""

    cell: Cell
    truth: Truth
    draw: random.Random
    request: Options = field(default_factory=lambda: Options(Perturb(factors=NAMES)))
    runs: dict[tuple[str, ...] | None, list[RunRecord]] = field(default_factory=dict)

    def in_random_order(self, wanted: Sequence[tuple[Cell, int]]) -> list[list[RunRecord]]:
        return [self._first(cell, number) for cell, number in wanted]

    def has_traces(self, cell: Cell, number: int) -> bool:
        return len(self.runs.get(cell.perturbed, ())) >= number

    def untreated_runs(self) -> list[RunRecord]:
        return self.runs[()]

    def log(self, text: str) -> None:
        """Nobody reads it."""

    def _first(self, cell: Cell, number: int) -> list[RunRecord]:
        own = self.runs.setdefault(cell.perturbed, [])
        while len(own) < number:
            varied = {word.partition(":")[0] for word in cell.perturbed or ()}
            spec = RunSpec(cell, Kind.trace, len(own) + 1)
            conditions = {name: "varied" if name in varied else "usual" for name in FACTORS}
            result = repeat(self.truth(varied, self.draw))
            own.append(
                RunRecord(
                    "run", spec, Outcome.ok, repeats=[result], conditions=conditions, threads=2
                )
            )
        return own[:number]


def named(cell: Cell, truth: Truth, seed: int = 0) -> tuple[set[str], PerturbSearch]:
    simulated = Simulated(replace(cell, perturbed=()), truth, random.Random(seed))
    search = PerturbSearch(cast(Any, simulated))
    search.find()
    found = describe_dependence(search).factors
    return {name for name, one in found.items() if one.finding == "depends"}, search


def depends_on(*names: str) -> Truth:
    return lambda varied, _: " ".join(sorted(varied & {*names}))


def sometimes(name: str, rate: float, own: float = 0.0) -> Truth:
    """Another result at this rate if the factor is varied, and at its own rate if not."""

    def result(varied: set[str], draw: random.Random) -> str:
        return "b" if draw.random() < (rate if name in varied else own) else "a"

    return result


def test_every_single_factor_is_named_and_no_other(make_cell: MakeCell) -> None:
    """Of each group, with few runs."""
    for name in NAMES:
        found, _ = named(make_cell(), depends_on(name))
        assert found == {name}


@pytest.mark.parametrize(
    "names",
    [["hash_seed", "locale"], ["umask", "threads", "seed_torch"], ["home", "locale", "umask"]],
)
def test_several_factors_are_named(make_cell: MakeCell, names: list[str]) -> None:
    """Of one group and of several."""
    assert named(make_cell(), depends_on(*names))[0] == {*names}


def test_factors_that_matter_only_together_are_one_group(make_cell: MakeCell) -> None:
    """Neither has an effect alone."""
    found, search = named(make_cell(), lambda varied, _: str({"umask", "locale"} <= varied))
    assert found == {"umask", "locale"}
    (group,) = search.found
    assert {word.partition(":")[0] for word in group} == found


def test_a_training_without_dependence_needs_few_runs(make_cell: MakeCell) -> None:
    """One test of each group clears all its members."""
    found, search = named(make_cell(), lambda *_: "a")
    assert found == set()
    runs = cast(Simulated, search.experiment).runs
    assert sum(map(len, runs.values())) < 80


@pytest.mark.parametrize("own", [0.02, 0.1, 0.5])
def test_a_training_that_varies_by_itself_has_few_false_alarms(
    make_cell: MakeCell, own: float
) -> None:
    """At most 5 % of studies name any factor that does nothing, seeds aside."""
    studies = 100
    alarms = sum(
        bool(named(make_cell(), sometimes("none", 0, own), seed)[0] - {"seed_torch"})
        for seed in range(studies)
    )
    assert alarms / studies <= 0.05


@pytest.mark.parametrize(("rate", "power"), [(0.6, 0.9), (0.9, 0.95)])
def test_a_frequent_effect_is_named(make_cell: MakeCell, rate: float, power: float) -> None:
    """An effect in a part of the runs, of a training that is steady without it."""
    studies = 40
    hits = sum(
        "umask" in named(make_cell(), sometimes("umask", rate), seed)[0] for seed in range(studies)
    )
    assert hits / studies >= power


def test_a_single_chance_difference_names_nothing(make_cell: MakeCell) -> None:
    """One run of a group that differs is no reason to search what its members do together."""
    state = {"left": 1}

    def once(varied: set[str], _: random.Random) -> str:
        if "umask" in varied and state["left"]:
            state["left"] -= 1
            return "b"
        return "a"

    found, search = named(make_cell(), once)
    assert found == set()
    assert search.found == []
