"""The result of `perturb`, as a JSON document for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.agreement import Agreement
from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import command, split_words
from harness.core.exit_codes import DONE, FAILED, RUNS_FAILED
from harness.core.files import write_json
from harness.core.frameworks import FRAMEWORKS
from harness.core.paths import DEPENDENCE
from harness.core.record import RunRecord
from harness.diagnose.recipe_switches import with_setting
from harness.factors.factor import Factor
from harness.perturb.comparison import Finding, result_of
from harness.perturb.group_search import Members
from harness.perturb.perturb_search import PerturbSearch, are_seeds

SETTING = "seed"  # whose runs are perturbed if none is named
UNVARIED = "not varied"
ORDER = tuple(
    map(str, (Finding.depends, Finding.undecided, Finding.inconclusive, Finding.independent))
)  # of findings about one factor, from that which says most


@dataclass(frozen=True)
class Difference:
    """Runs with a level of a factor, or of several factors, that differ from those without."""

    words: Sequence[str]  # FACTOR:LEVEL
    what: Sequence[str]  # the same in words
    cell: str
    finding: str
    differing: int  # of the runs with the factor, from the usual result of those without
    agreeing: int  # of them, with one another
    runs: int
    own_differing: int  # of the runs without
    own_runs: int
    p: float
    first_steps: Mapping[str, int]  # at which each component differs
    failure: str  # of the first run that did not complete
    diagnose: str  # the command that finds the operation; empty for several factors and for Keras


@dataclass(frozen=True)
class FactorAnswer:
    """``pairs`` runs or more with each level in ``agreeing`` agree with those without it."""

    title: str
    group: str
    finding: str
    agreeing: Sequence[str]  # levels, in words
    pairs: int
    rate: float  # upper bound on the chance that a process with one of the levels differs
    reason: str  # why it was not varied
    skipped: Mapping[str, str]  # levels that were not, and why


@dataclass(frozen=True)
class Dependence:
    """``own`` is how often runs differ without perturbation; no ``factors``: they fail."""

    cell: str
    runs: int
    own: str
    is_steady: bool
    failure: str  # of the unperturbed runs, if none completed
    level: float  # of each test but those of seeds; 1 without any
    factors: Mapping[str, FactorAnswer] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    diagnose: str = ""  # the command that examines the training without perturbation, if any

    @property
    def exit_status(self) -> int:
        if self.failure:
            return RUNS_FAILED
        told = (Finding.depends, Finding.independent)
        return DONE if any(one.finding in told for one in self.factors.values()) else FAILED

    def write(self, folder: Path) -> None:
        write_json(folder / DEPENDENCE, dataclasses.asdict(self))

    def show(self) -> None:
        """The report has said it all."""


def describe_dependence(search: PerturbSearch) -> Dependence:
    untouched = search.experiment.untreated_runs()
    compared = search.comparisons.items()
    agreement = Agreement.of([*map(result_of, untouched)])
    known = Dependence(
        cell=search.untouched.id,
        runs=len(untouched),
        own=agreement.describe(),
        is_steady=agreement.differing == 0,
        failure="" if any(run.repeats for run in untouched) else _failure(untouched),
        level=max((one.level for words, one in compared if not are_seeds(words)), default=1.0),
        diagnose=_diagnose(search),
    )
    if known.failure:
        return known
    differences = [_difference(search, words) for words in search.found]
    return dataclasses.replace(
        known,
        factors={factor.name: _answer(search, factor, differences) for factor in search.factors},
        differences=differences,
    )


def _diagnose(search: PerturbSearch, *options: str) -> str:
    """The command that examines the same training; "" if diagnose does not support it."""
    if not FRAMEWORKS[search.untouched.scenario.framework].logs_operations:
        return ""
    own, program_words = split_words(search.experiment.request.words[1:])
    typed = [word for word in own if not word.startswith(("perturb.", "study.dir="))]
    words = with_setting([*typed, *options, *program_words], SETTING)
    return command(["diagnose", *words])


def _difference(search: PerturbSearch, words: Members) -> Difference:
    comparison = search.comparisons[words]
    return Difference(
        words=sorted(words),
        what=[search.levels[word].what for word in sorted(words)],
        cell=search.cell(words).id,
        finding=str(comparison.finding),
        differing=comparison.differing,
        agreeing=comparison.agreeing,
        runs=len(comparison.perturbed),
        own_differing=comparison.own_differing,
        own_runs=len(comparison.untouched),
        p=comparison.p,
        first_steps=comparison.first_steps(),
        failure=_failure(comparison.perturbed),
        diagnose=_diagnose(search, f"diagnose.factor={min(words)}") if len(words) == 1 else "",
    )


def _answer(
    search: PerturbSearch, factor: Factor, differences: Sequence[Difference]
) -> FactorAnswer:
    own = [word for word in search.levels if word.partition(":")[0] == factor.name]
    skipped = {word: reason for word, reason in search.unvaried.items() if word in own}
    found = [difference.finding for difference in differences if {*own} & {*difference.words}]
    agreeing = {word: number for word in own if (number := _runs_that_agree(search, word))}
    pairs = min(agreeing.values(), default=0)
    reason = search.unvaried.get(factor.name, "")
    if not reason and len(skipped) == len(own):
        reason = next(iter(skipped.values()), "no level")
    unexplained = {
        str(one.finding)
        for words, one in search.comparisons.items()
        if {*own} & words and not any(group <= words for group in search.found)
    }
    finding = next((kind for kind in ORDER if kind in {*found, *unexplained}), UNVARIED)
    return FactorAnswer(
        title=factor.title,
        group=str(factor.group),
        finding=finding,
        agreeing=[search.levels[word].what for word in agreeing],
        pairs=pairs,
        rate=divergence_rate_upper(pairs + 1),  # compared with the result of others
        reason=reason,
        skipped=skipped,
    )


def _runs_that_agree(search: PerturbSearch, word: str) -> int:
    return sum(
        len(one.perturbed)
        for words, one in search.comparisons.items()
        if word in words and one.finding is Finding.independent and not one.differing
    )


def _failure(runs: Sequence[RunRecord]) -> str:
    failed = next((run for run in runs if not run.outcome.completed), None)
    return f"{failed.outcome}: {failed.reason}" if failed else ""
