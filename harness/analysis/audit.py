"""Operation by operation: what torch documents, what its alert does, and what the bits do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import CellData, StudyData
from harness.core.verdict import Verdict, judge

DOCUMENTED = Path(__file__).parent / "documented.toml"
NOT_LISTED = "not listed"
OWN_RESULTS = ("buffers", "grads")  # the last output, and the gradients of the inputs
SETTINGS = ("seed", "full", "full_one_thread")


def audit_table(study: StudyData) -> pd.DataFrame:
    """A row for each operation and device of matrix=audit; none for any other study.

    ``bits`` and ``bits_full`` are verdicts under seeds alone and under deterministic algorithms;
    ``threads`` says whether one thread gives the same bits there as all threads.
    """
    if study.manifest["request"]["matrix"] != "audit":
        return pd.DataFrame()
    cells: dict[tuple[str, str], dict[str, CellData]] = {}
    for cell in study.cells:
        options = cell.cell.scenario.options
        if cell.cell.scenario.name == "atomics" and options.get("length") is None:
            key = (str(options["op"]), cell.cell.device)
            cells.setdefault(key, {})[cell.cell.setting] = cell
    whole = {key: found for key, found in cells.items() if found.keys() >= set(SETTINGS)}
    return pd.DataFrame([_audit_row(*key, found) for key, found in whole.items()])


def lengths_table(study: StudyData) -> pd.DataFrame:
    """Where a number of elements was asked for: a row for each operation, device and dtype, with
    the verdicts at each number; an empty table where none was.
    """
    rows: dict[tuple[str, str, str], dict[int, str]] = {}
    for cell in study.cells:
        options = cell.cell.scenario.options
        if cell.cell.scenario.name == "atomics" and options.get("length") is not None:
            key = (str(options["op"]), cell.cell.device, str(options["dtype"]))
            verdict = str(judge(cell.traces).verdict)
            rows.setdefault(key, {})[int(options["length"])] = verdict
    return pd.DataFrame(
        [
            {
                **dict(zip(("operation", "device", "dtype"), key, strict=True)),
                **{f"{length:,} elements": found[length] for length in sorted(found)},
            }
            for key, found in rows.items()
        ]
    )


def _audit_row(operation: str, device: str, cells: dict[str, CellData]) -> dict[str, str]:
    documented = documented_as(device.partition(":")[0], operation)
    verdicts = {setting: judge(cells[setting].traces).verdict for setting in SETTINGS}
    refused = verdicts["full"] is Verdict.refused
    return {
        "operation": operation,
        "device": device,
        "documented": documented,
        "alert": "refuses" if refused else "none",
        "bits": str(verdicts["seed"]),
        "bits_full": str(verdicts["full"]),
        "threads": _compare_threads(cells["full"], cells["full_one_thread"]),
        "disagree": "; ".join(find_disagreements(documented, refused, verdicts)),
    }


def documented_as(kind: str, operation: str) -> str:
    table = tomllib.loads(DOCUMENTED.read_text(encoding="utf-8"))[kind]
    return next((name for name, listed in table.items() if operation in listed), NOT_LISTED)


def find_disagreements(documented: str, refused: bool, verdicts: dict[str, Verdict]) -> list[str]:
    """Of documents, alert and bits; that bits agree in so many runs proves no more than that."""
    found = []
    if (documented == "refused") != refused and verdicts["full"] is not Verdict.failed:
        found.append(
            "refused, though documented otherwise" if refused else "documented as refused, and runs"
        )
    if refused and verdicts["seed"] is Verdict.identical:
        found.append("refused, and no difference was seen")
    if verdicts["full"].differs:
        found.append("varies under deterministic algorithms")
    if verdicts["seed"].differs and documented == NOT_LISTED:
        found.append("varies, and is not listed")
    return found


def _compare_threads(all_of_them: CellData, one: CellData) -> str:
    """Whether the number of threads changes bits where neither number's runs differ.

    Of the operation's own results only: the loss is a sum over all of them, whose bits depend on
    the number of threads by itself.
    """
    ends = []
    for cell in (all_of_them, one):
        if judge(cell.traces).verdict is not Verdict.identical:
            return "not known"
        final = cell.completed[0].repeats[0].final
        ends.append([final[name] for name in OWN_RESULTS])
    return "same bits" if ends[0] == ends[1] else "other bits"
