"""The search of `perturb`: groups of factors, judged by runs beside those without any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from harness.core.record import RunRecord
from harness.core.spec import Cell
from harness.diagnose.runs import Experiment
from harness.factors.catalog import FACTORS, perturb
from harness.factors.factor import Factor, Group, Level
from harness.perturb.comparison import FALSE_ALARMS, Comparison, Finding
from harness.perturb.group_search import GroupSearch, Members
from harness.perturb.read_back import ReadBack, factor_of

FIRST = 2  # unperturbed runs that show whether the training completes
MORE = 2  # unperturbed runs beside each further level, since the machine may have changed
SEED_PAIRS = 2
SHOWN = 6  # members of a group that a line of progress names


@dataclass
class PerturbSearch:
    experiment: Experiment
    levels: dict[str, Level] = field(default_factory=dict)  # by FACTOR:LEVEL
    unvaried: dict[str, str] = field(default_factory=dict)  # why, by factor or FACTOR:LEVEL
    comparisons: dict[Members, Comparison] = field(default_factory=dict)
    found: list[Members] = field(default_factory=list)
    tried: list[Members] = field(default_factory=list)  # what one run was read back of
    unperturbed: int = 0  # runs so far

    @property
    def untouched(self) -> Cell:
        return self.experiment.cell

    @property
    def factors(self) -> list[Factor]:
        names = self.experiment.request.perturb.factors
        return [FACTORS[name] for name in names or FACTORS]

    def find(self) -> None:
        """Compare, unless the training fails without perturbation."""
        options = self.experiment.request.perturb
        self.experiment.log(f"perturb: {FIRST} runs without perturbation")
        if not any(run.repeats for run in self._runs(self.untouched, FIRST)):
            return
        self._list_levels()
        search = GroupSearch(self._matters, self._is_certain)
        for turn in range(self._most_levels):
            groups = self._leave_out_ineffective(list(self._groups(turn)))
            if not groups:
                continue
            self.unperturbed = max(options.runs, self.unperturbed + MORE)
            self._run_all(groups)
            for words in groups:
                self.found += search.find(words)

    def cell(self, words: Members) -> Cell:
        """The training with these levels of factors."""
        return perturb(self.untouched, words)

    def _list_levels(self) -> None:
        for factor in self.factors:
            reason = factor.missing(self.untouched)
            if reason:
                self.unvaried[factor.name] = reason
                continue
            for level in factor.levels(self.untouched):
                self.levels[f"{factor.name}:{level.name}"] = level

    @property
    def _most_levels(self) -> int:
        return max(Counter(map(factor_of, self.levels)).values(), default=0)

    def _groups(self, turn: int) -> Iterator[list[str]]:
        """Yield what is varied together: the next level of each factor of a group.

        A factor that is known to matter needs no other level.
        """
        known = {factor_of(word) for words in self.found for word in words}
        for group in Group:
            names = [one.name for one in self.factors if one.group is group]
            words = [
                own[turn]
                for name in names
                if name not in known
                and turn < len(own := [word for word in self.levels if factor_of(word) == name])
            ]
            if group in (Group.alone, Group.seeds):
                yield from ([word] for word in words)
            elif words:
                yield words

    def _leave_out_ineffective(self, groups: Sequence[list[str]]) -> list[list[str]]:
        """Leave out levels that change nothing, as one run of each group reads back.

        Where the run of a group does not tell, each of its levels has a run of its own.
        """
        if not groups:
            return []
        self.experiment.log(f"perturb: one run with each of {_groups(len(groups))}")
        read_back = ReadBack(self._runs(self.untouched, FIRST))
        for words, run in zip(groups, self._try(groups), strict=True):
            is_told = len(words) == 1 or read_back.tells_of_each(words, run)
            runs = [run] * len(words) if is_told else self._try([[word] for word in words])
            for word, own in zip(words, runs, strict=True):
                if reason := read_back.why_unvaried(word, own):
                    self.unvaried[word] = reason
        effective = [[word for word in words if word not in self.unvaried] for words in groups]
        return [words for words in effective if words]

    def _try(self, groups: Sequence[list[str]]) -> list[RunRecord]:
        """Run each group once."""
        tried = [frozenset(words) for words in groups]
        self.tried += tried
        runs = self.experiment.in_random_order([(self.cell(words), 1) for words in tried])
        return [run for (run,) in runs]

    def _run_all(self, groups: Sequence[list[str]]) -> None:
        """Run what is certainly needed, in random order with unperturbed runs."""
        wanted = [(self.cell(frozenset(words)), self._pairs(words)) for words in groups]
        total = sum(number for _, number in wanted)
        self.experiment.log(
            f"perturb: {total} runs of {_groups(len(groups))}, {self.unperturbed} without any "
            "factor"
        )
        self.experiment.in_random_order([(self.untouched, self.unperturbed), *wanted])

    def _matters(self, words: Members) -> bool:
        """Whether the results differ, or may: then a group is halved."""
        if words not in self.comparisons:
            self.comparisons[words] = self._compare(words)
        found = self.comparisons[words]
        is_stopped = found.finding is Finding.inconclusive and found.is_steady  # by one of them
        may = found.finding is Finding.undecided and found.is_promising
        return found.finding is Finding.depends or may or is_stopped

    def _is_certain(self, words: Members) -> bool:
        return self.comparisons[words].finding is Finding.depends

    def _compare(self, words: Members) -> Comparison:
        """Look at a few runs, and at more while they do not decide.

        New ones are run in random order with further unperturbed runs, as the machine may have
        changed. A part of a group needs as many runs as showed that the group matters.
        """
        options = self.experiment.request.perturb
        wholes = [len(one.perturbed) for group, one in self.comparisons.items() if words < group]
        fewest = max([self._pairs(words), *wholes])
        looks = sorted({fewest, min(2 * fewest, options.most), options.most} - {*range(fewest)})
        names = sorted(words)
        self.experiment.log(
            f"perturb: {', '.join(names[:SHOWN])}"
            f"{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
        )
        cell = self.cell(words)
        for number in looks:
            if not self.experiment.has_traces(cell, number):
                self.unperturbed = max(self.unperturbed + MORE, number)
            untouched, perturbed = self.experiment.in_random_order(
                [(self.untouched, self.unperturbed), (cell, number)]
            )
            comparison = Comparison(
                untouched, perturbed, self._level(words, len(looks)), number == fewest
            )
            self.experiment.log(
                f"  {comparison.differing} of {number} runs differ: {comparison.finding}"
            )
            if comparison.finding is not Finding.undecided:
                break
        return comparison

    def _level(self, words: Members, looks: int) -> float:
        """The level of one look, so that all levels of factors and looks together keep theirs.

        That a seed matters is no discovery: each has a level of its own.
        """
        tests = 1 if are_seeds(words) else len(self.levels)
        return FALSE_ALARMS / (tests * looks)

    def _pairs(self, words: Collection[str]) -> int:
        return SEED_PAIRS if are_seeds(words) else self.experiment.request.perturb.pairs

    def _runs(self, cell: Cell, number: int) -> list[RunRecord]:
        (runs,) = self.experiment.in_random_order([(cell, number)])
        return runs


def are_seeds(words: Collection[str]) -> bool:
    return all(FACTORS[factor_of(word)].group is Group.seeds for word in words)


def _groups(number: int) -> str:
    return f"{number} group{'s' * (number != 1)} of factors"
