"""What a reader must know before believing a number, each with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.controls import Control, Controls
from harness.analysis.cost import TwinCheck
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import Outcome, RunRecord
from harness.core.verdict import SEEN_WHEN_TIMED, judge
from harness.report.format import MIN_IDENTICAL_RUNS, percent

BUSY = 0.10  # of all cores' time used by others during a timing run
FEW_NAMES = 8  # of files, in one sentence
FEW_BLOCKS = 5  # below, Student's t is so wide that most costs cannot be told


@dataclass(frozen=True)
class Caveat:
    what: str
    advice: str


def find_caveats(study: StudyData, checked: Controls) -> list[Caveat]:
    found = [*study_caveats(study), *_control_caveats(checked)]
    for cell in study.cells:
        if cell.same_as is None:
            found += cell_caveats(cell)
    return found


def study_caveats(study: StudyData) -> Iterator[Caveat]:
    if study.manifest["request"]["not_for_conclusions"]:
        yield Caveat(
            "This matrix only tries whether everything works.",
            "Not for conclusions: run `make bench` or MATRIX=publish.",
        )
    if first := study.manifest["repeat_of"]:
        yield Caveat(
            f"This study repeats {first}, in which a control had failed.",
            "Read both; a control that fails twice says that this machine is too noisy.",
        )
    left_out = study.manifest["request"]["settings_for_cuda"]
    if left_out and not study.manifest["cuda"]:
        yield Caveat(
            f"Left out on a CPU: the settings {', '.join(left_out)}.",
            "Name them to run them here too, as in determinism=warn,full.",
        )
    missing = study.planned - len(study.runs)
    if missing:
        yield Caveat(
            f"{missing} of {study.planned} runs have no record yet.",
            "Go on with `python -m harness resume` on this study.",
        )
    for text in study.unreadable:
        yield Caveat(text, "`resume` runs it again.")
    runs = study.manifest["request"]["runs"]
    if runs["trace"] < MIN_IDENTICAL_RUNS:
        yield Caveat(
            f"{runs['trace']} trace runs a cell: `identical` means that no difference "
            "was seen in so many runs.",
            f"runs.trace={MIN_IDENTICAL_RUNS} brings the bound under 10 %; MATRIX=publish does.",
        )
    if 0 < runs["timing"] < FEW_BLOCKS:
        yield Caveat(
            f"{runs['timing']} timing blocks: intervals are wide.",
            "runs.timing=20, or MATRIX=publish.",
        )
    yield from load_caveats(study.runs)


def load_caveats(runs: list[RunRecord]) -> Iterator[Caveat]:
    busy = [
        run.other_load
        for run in runs
        if run.timed and run.other_load is not None and run.other_load > BUSY
    ]
    if busy:
        yield Caveat(
            f"During {len(busy)} timing runs other processes used up to "
            f"{percent(max(busy))} of the machine.",
            "Close what else is running, then measure again.",
        )
    slowed = [run for run in runs if run.timed and run.throttled]
    if slowed:
        reasons = dict.fromkeys(reason for run in slowed for reason in run.throttled)
        yield Caveat(
            f"During {len(slowed)} timing runs the GPU held its clocks back: {', '.join(reasons)}.",
            "Cool it, raise its power limit, or lock its "
            "clocks (nvidia-smi --lock-gpu-clocks), then measure again.",
        )
    again = sum(run.attempt > 1 for run in runs)
    if again:
        yield Caveat(
            f"{again} runs were killed from outside and done again.",
            "Look for what kills processes here: memory limits, say.",
        )


def _control_caveats(checked: Controls) -> Iterator[Caveat]:
    for twin in checked.twins:
        if twin.check is TwinCheck.failed:
            yield Caveat(
                f"The A/A twin of {twin.cell} was found different from itself.",
                "Believe no cost of this study and measure again; by chance, one study in twenty "
                "has such a twin.",
            )
    if checked.positive.control is Control.failed:
        yield Caveat(
            f"The positive control failed: {checked.positive.sentence}",
            "Believe no `identical` of this study; raise scenario indexing's indices, "
            "or report it with this study's records.",
        )


def cell_caveats(cell: CellData) -> Iterator[Caveat]:
    outcomes = Counter(run.outcome for run in cell.all_runs)
    for outcome in (
        Outcome.refused,
        Outcome.nan,
        Outcome.timeout,
        Outcome.crashed,
        Outcome.lost,
        Outcome.contended,
    ):
        if outcomes[outcome]:
            first = next(run for run in cell.all_runs if run.outcome is outcome)
            yield Caveat(
                f"{cell.id}: {outcomes[outcome]} runs {ENDINGS[outcome]}{failure_reason(first)}",
                ADVICE[outcome],
            )
    if judge(cell.traces, [*cell.timings, *cell.twins]).note == SEEN_WHEN_TIMED:
        yield Caveat(
            f"{cell.id}: a timing run ended with other bits than the trace runs.",
            "A rare divergence, or watching disturbs it: raise runs.trace.",
        )
    for name, asked, got in _overridden_switches(cell):
        yield Caveat(
            f"{cell.id}: asked {name}={asked}, in effect was {got}.",
            "The scenario or the environment overrides the setting; the record's "
            "`effective` tells all values.",
        )
    if cell.unmeasured:
        yield Caveat(
            f"{cell.id}: runs parted and their distance was not measured.",
            "Try trace.keep_snapshots=true, which keeps what is measured.",
        )
    yield from _file_caveats(cell)
    if any(
        repeat.facts.get("nearest_equals_expand_forward") is False for _, repeat in cell.trainings()
    ):
        yield Caveat(
            f"{cell.id}: expand and nearest gave other bits forward.",
            "Do not take one for the other on this device.",
        )


def _file_caveats(cell: CellData) -> Iterator[Caveat]:
    """Of a script: what its runs wrote."""
    kept = [repeat.facts.get("files", {}) for _, repeat in cell.trainings()]
    names = sorted({name for files in kept for name in files})
    unlike = [name for name in names if len({files.get(name) for files in kept}) > 1]
    if unlike:
        yield Caveat(
            f"{cell.id}: written files differ between runs: {_list_names(unlike)}.",
            "They decide no verdict: a date or a duration in them would differ too; "
            "look whether that is all.",
        )
    timed = [run.timed.facts for run in cell.all_runs if run.timed]
    facts = [repeat.facts for _, repeat in cell.trainings()] + timed
    touched = sorted({name for one in facts for name in one.get("touched", [])})
    if touched:
        yield Caveat(
            f"{cell.id}: changed outside of the script's own copy: {_list_names(touched)}.",
            "The script, or another program, wrote there while it ran: runs may not "
            "have begun alike.",
        )


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - FEW_NAMES} more" if len(names) > FEW_NAMES else ""
    return f"{', '.join(names[:FEW_NAMES])}{more}"


ENDINGS = {
    Outcome.refused: "were refused deterministic mode",
    Outcome.nan: "ended with a loss that is no finite number",
    Outcome.timeout: "ran past launch.timeout_s",
    Outcome.crashed: "crashed",
    Outcome.lost: "were killed from outside",
    Outcome.contended: "shared their GPU with another process and are not timed",
}
ADVICE = {
    Outcome.refused: "Replace the operation, or use determinism=warn and see what varies.",
    Outcome.nan: "Their digests count; a smaller learning rate would train.",
    Outcome.timeout: "Raise launch.timeout_s, or look in logs/ for why they hang.",
    Outcome.crashed: "See runs.csv and logs/ for the traceback.",
    Outcome.lost: "`resume` runs them again; look for what kills processes here.",
    Outcome.contended: "Measure on a GPU of your own.",
}


def failure_reason(run: RunRecord) -> str:
    if run.operation:
        return f": {run.operation}"
    last = run.message.strip().split("\n")[-1] if run.message else ""
    return f": {last}" if last else ""


def _overridden_switches(cell: CellData) -> list[tuple[str, object, object]]:
    """Switches whose value in effect at a run's end was not the one asked for."""
    found = {}
    for run in cell.all_runs:
        for name, value in run.spec.determinism.switches().items():
            if value is not None and name in run.effective and run.effective[name] != value:
                found[name] = (name, value, run.effective[name])
    return list(found.values())
