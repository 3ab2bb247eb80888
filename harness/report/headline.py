"""The headline of a report: what a reader takes home, in one or two sentences from the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.cell_table import cost_ratio
from harness.analysis.cost import simultaneous_level
from harness.analysis.study_data import StudyData
from harness.core.spec import Determinism, Noise
from harness.core.verdict import Verdict
from harness.report.format import is_known, join_words, percent, plural
from harness.report.overview import ALIKE, SAME, mark_of, only_seeds, switches_set

Row = Mapping[str, Any]

WARM_UP = "vector_math_warm_up"  # acts before the training, so a setting is no stricter with it
# What the operation does at which runs first differ, by the kind of origin.
BEHAVIORS = {
    "operation": "gives different results for equal inputs",
    "outside": "receives different inputs, which no operation before it has made",
    "uninitialized memory": "reads uninitialized memory",
    "path": "is executed by only one of two runs",
}
MEASURABLE = 0.5  # a cost that may be higher is not known
NAMED = 3  # trainings in one sentence; more are counted


def training_headline(study: StudyData, table: pd.DataFrame) -> str:
    """Say for how many trainings seeds are enough, what helps the others, and what that costs.

    ``table`` is the labelled cell table, without twins. Cells that vary on purpose do not count.
    """
    rows: dict[str, list[Row]] = {}
    for record in table.to_dict("records"):
        if study.by_id(record["cell"]).cell.noise is Noise.none:
            row = {str(key): value for key, value in record.items()}
            rows.setdefault(row["scenario"], []).append(row)
    parts = [*_seed_sentences(study, rows), *_cost_sentences(study, rows)]
    return " ".join(parts)


def diagnosis_headline(document: Mapping[str, Any]) -> str:
    """Say which operation is to blame and what helps, or at least how runs differ."""
    origin = (document["origin_evidence"] or {}).get("origin")
    if not origin:
        return f"{document['paragraph'].partition('. ')[0].rstrip('.')}."
    operation, behavior = origin["operation"], BEHAVIORS[origin["kind"]]
    fixed = [trial["words"] for trial in document["trials"] if trial["answer"] == "fixed"]
    fault = f": {document['faults'][0]}" if document["faults"] else ""
    remedy = f"; fixed by `{' '.join(fixed[0])}`" if fixed else ""
    where = f", called at {operation['source']}," if operation["source"] else ""
    return f"`{operation['name']}`{where} {behavior}{fault}{remedy}."


def noise_headline(table: pd.DataFrame) -> str:
    """Say how far another seed moves the accuracy, and how far the machine does."""
    measured = table[table["accuracy_sd"].notna()]
    seed, machine = (
        measured["accuracy_sd"][measured["noise"] == source]
        for source in ("algorithm", "implementation")
    )
    parts = [] if seed.empty else [f"Another seed moves accuracy by {_span(seed)}"]
    if not machine.empty:
        parts.append(
            f"{'the machine' if parts else 'The machine moves accuracy'} by {_span(machine)}"
        )
    if not parts:
        return "No accuracy was measured."
    trainings = plural(measured["scenario"].nunique(), "training")
    return f"{', '.join(parts)} (standard deviation over runs, {trainings})."


def _span(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return " to ".join(dict.fromkeys([percent(ordered[0]), percent(ordered[-1])]))


def _seed_sentences(study: StudyData, trainings: Mapping[str, list[Row]]) -> Iterator[str]:
    seeded = {
        name: [row for row in rows if only_seeds(_setting(study, row))]
        for name, rows in trainings.items()
    }
    tested = {name: rows for name, rows in seeded.items() if any(_is_tested(row) for row in rows)}
    if not tested:
        yield from _describe_cells([row for rows in trainings.values() for row in rows])
        return
    enough = {
        name: [row for row in rows if _is_equal(row)]
        for name, rows in tested.items()
        if any(_is_equal(row) for row in rows)
    }
    some = _count(len(enough), len(tested), next(iter(tested)))
    yield _claim(some, [row for rows in enough.values() for row in rows])
    others = [name for name in tested if name not in enough]
    yield from _describe_others(study, {name: trainings[name] for name in others})


def _count(number: int, total: int, name: str) -> str:
    if total == 1:
        return f"`{name}`" if number else ""
    if number == total:
        return "both trainings" if total == 2 else f"all {total} trainings"
    return f"{number} of {total} trainings"


def _claim(some: str, rows: Sequence[Row]) -> str:
    """What is said of seeds rests on the fewest runs."""
    if not rows:
        return "Seeds are not enough."
    runs = min(int(row["independent_runs"]) for row in rows)
    if any(mark_of(row) is ALIKE for row in rows):
        return f"With seeds, no difference was seen in {plural(runs, 'run')} of {some}."
    return f"Seeds are enough for {some} here ({runs} runs each)."


def _describe_others(study: StudyData, others: Mapping[str, list[Row]]) -> Iterator[str]:
    """Trainings that vary with seeds, by the setting that helps them."""
    by_remedy: dict[str, list[str]] = {}
    for name, rows in others.items():
        helps = [row for row in rows if _is_equal(row)]
        weakest = min(helps, key=lambda row: _switches(study, row), default=None)
        remedy = str(weakest["determinism"]) if weakest else ""
        by_remedy.setdefault(remedy, []).append(name)
    for remedy, names in by_remedy.items():
        listed = [f"`{name}`" for name in names[:NAMED]]
        more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
        verb = "varies" if len(names) == 1 else "vary"
        several = any(len(others[name]) > 1 for name in names)
        fixed = f", but not under `{remedy}`" if remedy else " under every setting tried" * several
        yield f"{join_words(listed + more)} {verb}{fixed}."


def _describe_cells(rows: Sequence[Row]) -> Iterator[str]:
    """What is said if no setting of the study gives seeds and nothing else."""
    tested = [row for row in rows if _is_tested(row)]
    if not tested:
        yield "No two runs were compared."
        return
    equal = sum(_is_equal(row) for row in tested)
    yield f"{equal} of {plural(len(tested), 'cell')} show no difference."


def _cost_sentences(study: StudyData, trainings: Mapping[str, list[Row]]) -> Iterator[str]:
    """What the setting with the most costs costs, which in a full matrix is the strictest one."""
    costs: dict[str, list[Row]] = {}
    for row in (row for rows in trainings.values() for row in rows):
        if _is_equal(row) and is_known(row["cost_ratio"]) and not row["is_baseline"]:
            costs.setdefault(str(row["determinism"]), []).append(row)
    if not costs:
        return
    # of equally frequent settings, the first of those with the most switches but a warm-up
    name, rows = max(costs.items(), key=lambda item: (len(item[1]), _switches(study, item[1][0])))
    for label in ("slower", "faster"):
        shown = [row for row in rows if row["cost"] == label]
        if shown:
            changes = [abs(row["cost_ratio"] - 1) for row in shown]
            yield f"`{name}` is {label} for {_names(shown)}, by {_span(changes)}."
    others = [row for row in rows if row["cost"] not in ("slower", "faster")]
    if others:
        highest = sorted(_highest_cost(study, row) - 1 for row in others)
        whom = _names(others) if len(others) < len(rows) else "every training"
        yield (
            f"For {whom}, `{name}` costs at most {_span(highest)} (95 % confidence)."
            if highest[-1] < MEASURABLE
            else f"What `{name}` costs for {whom} was not measured precisely enough to say."
        )


def _names(rows: Sequence[Row]) -> str:
    names = [f"`{row['scenario']}`" for row in rows]
    return join_words(names) if len(names) <= NAMED else plural(len(names), "training")


def _switches(study: StudyData, row: Row) -> int:
    return len(switches_set(_setting(study, row)) - {WARM_UP})


def _setting(study: StudyData, row: Row) -> Determinism:
    return study.by_id(row["cell"]).cell.determinism


def _highest_cost(study: StudyData, row: Row) -> float:
    """The upper end of the interval that holds for all costs of the study together."""
    level = simultaneous_level(study.costs)
    ratio = cost_ratio(study, study.by_id(row["cell"]), level)
    assert ratio is not None
    return ratio.high


def _is_tested(row: Row) -> bool:
    return Verdict(row["verdict"]).is_tested


def _is_equal(row: Row) -> bool:
    return mark_of(row) in (SAME, ALIKE)
