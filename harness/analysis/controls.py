"""Controls of a study: A/A twins must cost the same, and the positive control must vary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.analysis import cost
from harness.analysis.cell_table import twin_ratio
from harness.analysis.study_data import CellData, StudyData
from harness.core.spec import Noise
from harness.core.verdict import Judgement, Verdict


class Control(StrEnum):
    passed = "passed"
    failed = "failed"
    not_decided = "not decided"  # too few runs completed
    not_possible = "control not possible here"
    off = "off"


# With several devices, the first of these that occurs is the study's result.
WORST_FIRST = (Control.failed, Control.not_decided, Control.not_possible, Control.passed)
CONTROL_SETTINGS = ("seed", "full")  # must vary under the first and not under the second


@dataclass(frozen=True)
class Twin:
    """A baseline compared with its A/A copy."""

    cell: str
    plain: cost.Ratio  # 95 % for this twin alone
    simultaneous: cost.Ratio  # 95 % for all twins of the study together
    check: cost.TwinCheck
    smallest_detectable: float

    @property
    def check_label(self) -> str:
        if self.check is cost.TwinCheck.inconclusive:
            return f"inconclusive ({self.simultaneous.uncertainty(decimals=0)})"
        return str(self.check)


@dataclass(frozen=True)
class Positive:
    """Result for the scenario that must vary under `seed` and must not vary under `full`."""

    control: Control
    sentence: str


@dataclass(frozen=True)
class Controls:
    twins: list[Twin]
    positive: Positive

    @property
    def failed(self) -> bool:
        bad_twin = any(twin.check is cost.TwinCheck.failed for twin in self.twins)
        return bad_twin or self.positive.control is Control.failed


def check_controls(study: StudyData) -> Controls:
    return Controls(_check_twins(study), check_positive(study))


def _check_twins(study: StudyData) -> list[Twin]:
    measured = [cell for cell in study.cells if cell.twins and cell.same_as is None]
    twins = []
    for cell in measured:
        plain = twin_ratio(cell)
        together = twin_ratio(cell, cost.simultaneous_level(len(measured)))
        if plain and together:
            detectable = cost.smallest_detectable(plain, study.costs)
            twins.append(Twin(cell.id, plain, together, cost.check_twin(together), detectable))
    return twins


def check_positive(study: StudyData) -> Positive:
    threads = study.manifest["software"]["threads"]
    by_device = {
        device: _check_positive_on(device, cells, threads)
        for device, cells in control_cells(study).items()
    }
    if not by_device:
        return Positive(
            Control.off,
            "This study has none; `-m` and `matrix=` add one, unless study.control=null.",
        )
    worst = min(by_device.values(), key=lambda positive: WORST_FIRST.index(positive.control))
    if len(by_device) == 1:
        return worst
    sentences = [
        f"{device}: {positive.control}. {positive.sentence}"
        for device, positive in by_device.items()
    ]
    return Positive(worst.control, " ".join(sentences))


def control_cells(study: StudyData) -> dict[str, dict[str, CellData]]:
    """Return the positive control's cells by setting, for each device with `seed` and `full`."""
    name = study.manifest["request"]["study"]["control"]
    by_device: dict[str, dict[str, CellData]] = {}
    for cell in study.cells:
        spec = cell.cell
        is_unmodified = not spec.overrides and spec.noise is Noise.none
        if spec.scenario.label == name and spec.setting in CONTROL_SETTINGS and is_unmodified:
            by_device.setdefault(spec.device, {})[spec.setting] = cell
    return {
        device: cells for device, cells in by_device.items() if len(cells) == len(CONTROL_SETTINGS)
    }


def _check_positive_on(device: str, cells: dict[str, CellData], threads: int) -> Positive:
    """Check the control on a device; timing runs count too, as for every verdict."""
    name = cells["seed"].cell.scenario.label
    if device == "cpu" and threads == 1:
        return Positive(Control.not_possible, f"`{name}` cannot vary on one thread.")
    seed, full = (cells[setting].judgement for setting in CONTROL_SETTINGS)
    sentence = (
        f"`{name}` {_describe(seed)} under `seed` ({seed.agreement.describe()}) "
        f"and {_describe(full)} under `full` ({full.agreement.describe()})."
    )
    return Positive(decide(seed.verdict, full.verdict), sentence)


def decide(seed: Verdict, full: Verdict) -> Control:
    """Fail if `seed` is identical or `full` differs; pass only if runs show the opposite."""
    if seed is Verdict.identical or full.differs:
        return Control.failed
    passed = seed.differs and full is Verdict.identical
    return Control.passed if passed else Control.not_decided


def _describe(judgement: Judgement) -> str:
    varies = judgement.verdict.differs
    return str(judgement.verdict) if varies else "shows no difference"
