"""Tables of the operation audit: PyTorch's documentation, its alert and the observed bits."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import CellData, StudyData
from harness.core.verdict import Verdict, wording

DOCUMENTED = Path(__file__).parent / "documented.toml"
NOT_LISTED = "not listed"
OWN_RESULTS = ("buffers", "grads")  # the last output, and the gradients of the inputs
SETTINGS = ("seed", "full")
ONE_THREAD = "full_one_thread"  # optional: on CUDA, threads of the CPU compute nothing


def audit_table(study: StudyData) -> pd.DataFrame:
    """Return a row for each operation, device and dtype of ``matrix=audit``; else empty.

    ``bits`` and ``bits_full`` are the verdicts under seeds alone and under deterministic
    algorithms. ``threads`` says whether, under deterministic algorithms, one thread of the CPU
    computes the same bits as all threads; it is ``not compared`` if the study has no such cell.
    """
    if study.manifest["request"]["matrix"] != "audit":
        return pd.DataFrame()
    cells: dict[tuple[str, str, str], dict[str, CellData]] = {}
    for cell in study.cells:
        options = cell.cell.scenario.options
        if cell.cell.scenario.name == "atomics" and options.get("length") is None:
            key = (str(options["op"]), cell.cell.device, str(options.get("dtype", "float32")))
            cells.setdefault(key, {})[cell.cell.setting] = cell
    complete = {
        key: by_setting for key, by_setting in cells.items() if by_setting.keys() >= set(SETTINGS)
    }
    torch = study.manifest["software"]["torch"]
    return pd.DataFrame(
        [_audit_row(*key, torch, by_setting) for key, by_setting in complete.items()]
    )


def lengths_table(study: StudyData) -> pd.DataFrame:
    """Return a row for each operation, device and dtype, with a verdict for each input length.

    Only cells that set ``length`` (a number of elements) count; without any, the table is empty.
    """
    rows: dict[tuple[str, str, str], dict[int, str]] = {}
    for cell in study.cells:
        options = cell.cell.scenario.options
        if cell.cell.scenario.name == "atomics" and options.get("length") is not None:
            key = (str(options["op"]), cell.cell.device, str(options.get("dtype", "float32")))
            rows.setdefault(key, {})[int(options["length"])] = _word(cell)
    return pd.DataFrame(
        [
            {
                **dict(zip(("operation", "device", "dtype"), key, strict=True)),
                **{f"{length:,} elements": verdicts[length] for length in sorted(verdicts)},
            }
            for key, verdicts in rows.items()
        ]
    )


def _audit_row(
    operation: str, device: str, dtype: str, torch: str, cells: dict[str, CellData]
) -> dict[str, str]:
    documented = documented_as(device.partition(":")[0], operation, torch)
    verdicts = {setting: cells[setting].trace_judgement.verdict for setting in SETTINGS}
    refused = verdicts["full"] is Verdict.refused
    return {
        "cell": cells["seed"].id,
        "cell_full": cells["full"].id,
        "operation": operation,
        "device": device,
        "dtype": dtype,
        "documented": documented,
        "alert": "refuses" if refused else "none",
        "bits": _word(cells["seed"]),
        "bits_full": _word(cells["full"]),
        "threads": _compare_threads(cells["full"], cells.get(ONE_THREAD)),
        "disagree": "; ".join(find_disagreements(documented, refused, verdicts)),
    }


def _word(cell: CellData) -> str:
    """The verdict, with the number of independent processes that it rests on."""
    judgement, independent = cell.trace_judgement, cell.independent_runs
    text = wording(judgement.verdict, independent)
    if judgement.verdict.differs:
        return f"{text} ({judgement.agreement})"
    return f"{text} (n = {independent})" if independent else text


def documented_as(kind: str, operation: str, torch: str) -> str:
    """Return what PyTorch documents for an operation on a kind of device (``cpu`` or ``cuda``).

    ``torch`` is its version, such as ``2.13.0+cpu``.
    """
    document = tomllib.loads(DOCUMENTED.read_text(encoding="utf-8"))
    minor = ".".join(torch.split(".")[:2])
    other: str | None = document["other"].get(minor, {}).get(kind, {}).get(operation)
    if other:
        return other
    table = document[kind]
    return next((name for name, listed in table.items() if operation in listed), NOT_LISTED)


def find_disagreements(documented: str, refused: bool, verdicts: dict[str, Verdict]) -> list[str]:
    """Return where documentation, alert and bits disagree.

    ``identical`` only means that no difference was seen in the runs of this study.
    """
    disagreements = []
    if (documented == "refused") != refused and verdicts["full"] is not Verdict.failed:
        disagreements.append(
            "refused, but documented otherwise" if refused else "documented as refused, but runs"
        )
    if refused and verdicts["seed"] is Verdict.identical:
        disagreements.append("refused, but no difference was seen")
    if verdicts["full"].differs:
        disagreements.append("varies under deterministic algorithms")
    if verdicts["seed"].differs and documented == NOT_LISTED:
        disagreements.append("varies, but is not listed")
    return disagreements


def _compare_threads(all_threads: CellData, one_thread: CellData | None) -> str:
    """Whether the number of threads changes the bits, if runs agree under either number.

    Compares only the operation's own results. The loss sums them, so its bits depend on the number
    of threads anyway.
    """
    if one_thread is None:
        return "not compared"
    results = []
    for cell in (all_threads, one_thread):
        if cell.trace_judgement.verdict is not Verdict.identical:
            return "not known"
        final = cell.completed[0].repeats[0].final
        results.append([final[name] for name in OWN_RESULTS])
    return "same bits" if results[0] == results[1] else "other bits"
