"""The headline of a report: what a reader takes home, in one or two sentences from the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.study_data import StudyData
from harness.core.spec import Determinism, Noise
from harness.core.verdict import Verdict
from harness.report.content.overview import ALIKE, SAME, mark_of
from harness.report.format import is_known, join_words, percent, plural

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
    ways = join_words([f"`{' '.join(words)}`" for words in fixed], "or")
    remedy = f"; fixed by {ways}" if ways else ""
    where = f", called at {operation['source']}," if operation["source"] else ""
    return f"`{operation['name']}`{where} {behavior}{fault}{remedy}."


def noise_headline(table: pd.DataFrame) -> str:
    """Say how far another seed moves the accuracy, and how far the machine does."""
    measured = table[table["accuracy_sd"].notna()] if len(table) else table
    if measured.empty:
        return "No accuracy was measured."
    seed, machine = (
        measured["accuracy_sd"][measured["noise"] == source]
        for source in ("algorithm", "implementation")
    )
    parts = [] if seed.empty else [f"Another seed moves accuracy by {_points(seed)}"]
    if not machine.empty:
        parts.append(
            f"{'the machine' if parts else 'The machine moves accuracy'} by {_points(machine)}"
        )
    trainings = plural(measured["scenario"].nunique(), "training")
    return f"{', '.join(parts)} (standard deviations over runs of {trainings})."


def _points(deviations: pd.Series[float]) -> str:
    return f"{_span(deviations).replace(' %', '')} points"


def _span(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return " to ".join(dict.fromkeys([percent(ordered[0]), percent(ordered[-1])]))


def _seed_sentences(study: StudyData, trainings: Mapping[str, list[Row]]) -> Iterator[str]:
    seeded = {
        name: rows
        for name, every in trainings.items()
        if (rows := [row for row in every if _setting(study, row).only_seeds])
    }
    tested = {name: rows for name, rows in seeded.items() if any(_is_tested(row) for row in rows)}
    if not tested:
        yield from _describe_cells([row for rows in trainings.values() for row in rows])
        return
    enough = {
        name: [row for row in rows if _is_equal(row)]
        for name, rows in tested.items()
        if all(_is_equal(row) for row in rows if _is_tested(row))
    }
    some = _count(len(enough), len(seeded), next(iter(seeded)))
    yield _claim(some, [row for rows in enough.values() for row in rows])
    others = {name: trainings[name] for name in tested if name not in enough}
    yield from _describe_others(study, others)
    if untested := [name for name in seeded if name not in tested]:
        verb = "was" if len(untested) == 1 else "were"
        yield f"{_list_names(untested)} {verb} not tested with seeds."


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
    runs = plural(min(int(row["independent_runs"]) for row in rows), "run")
    each = "" if some.startswith("`") else " each"
    if any(mark_of(row) is ALIKE for row in rows):
        verb = "show" if each and not some.startswith("1 ") else "shows"
        return f"With seeds, {some} {verb} no difference in {runs}{each}."
    return f"Seeds are enough for {some} here ({runs}{each})."


def _describe_others(study: StudyData, others: Mapping[str, list[Row]]) -> Iterator[str]:
    """Trainings that vary with seeds, by the setting that helps them."""
    by_remedy: dict[str, list[str]] = {}
    for name, rows in others.items():
        by_remedy.setdefault(_remedy(study, rows), []).append(name)
    for remedy, names in by_remedy.items():
        yield f"{_list_names(names)} {'varies' if len(names) == 1 else 'vary'}{remedy}."


def _remedy(study: StudyData, rows: Sequence[Row]) -> str:
    """What is known to help a training that varies with seeds."""
    helps = [row for row in rows if _is_equal(row)]
    if helps:
        weakest = min(helps, key=lambda row: _switches(study, row))
        if mark_of(weakest) is SAME:
            return f", but not under `{weakest['determinism']}`"
        runs = int(weakest["independent_runs"])
        return f"; under `{weakest['determinism']}`, {runs} runs show no difference"
    if not all(_is_tested(row) for row in rows):
        return ", and no setting that ran helps"
    return " under every setting tried" * (len(rows) > 1)


def _list_names(names: Sequence[str]) -> str:
    named = NAMED if len(names) > NAMED + 1 else len(names)
    more = [f"{len(names) - named} more"] if len(names) > named else []
    return join_words([f"`{name}`" for name in names[:named]] + more)


def _describe_cells(rows: Sequence[Row]) -> Iterator[str]:
    """What is said if no setting of the study gives seeds and nothing else."""
    tested = [row for row in rows if _is_tested(row)]
    if not tested:
        yield "No two runs were compared."
        return
    equal = sum(_is_equal(row) for row in tested)
    verb = "shows" if equal == 1 else "show"
    yield f"{equal} of {plural(len(tested), 'cell')} {verb} no difference."


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
        others.sort(key=lambda row: float(row["cost_high_together"]))
        is_all = 1 < len(others) == len(trainings)
        whom = "every training" if is_all else _names(others)
        what = f"`{name}` costs" if is_all else f"`{name}` costs for {whom}"
        yield (
            f"For {whom}, `{name}` costs at most {_span_of_costs(others)} (95 % confidence)."
            if others[-1]["cost_high_together"] - 1 < MEASURABLE
            else f"What {what} was not measured precisely enough to say."
        )


def _span_of_costs(rows: Sequence[Row]) -> str:
    """The highest costs that the intervals allow, of the first and the last of these rows."""
    low, high = (percent(max(0.0, rows[index]["cost_high_together"] - 1)) for index in (0, -1))
    if low == high:
        return low
    return f"{low} (`{rows[0]['scenario']}`) to {high} (`{rows[-1]['scenario']}`)"


def _names(rows: Sequence[Row]) -> str:
    names = [f"`{row['scenario']}`" for row in rows]
    return join_words(names) if len(names) <= NAMED else plural(len(names), "training")


def _switches(study: StudyData, row: Row) -> int:
    return len(_setting(study, row).turned().keys() - {WARM_UP})


def _setting(study: StudyData, row: Row) -> Determinism:
    return study.by_id(row["cell"]).cell.determinism


def _is_tested(row: Row) -> bool:
    return Verdict(row["verdict"]).is_tested


def _is_equal(row: Row) -> bool:
    return mark_of(row) in (SAME, ALIKE)
