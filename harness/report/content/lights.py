"""The two controls of a study as two lights, each with one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.controls import Control, Controls, Twin
from harness.analysis.cost import TwinCheck
from harness.report.format import plural

STYLES = {Control.passed: "passed", Control.failed: "failed", Control.off: "off"}  # else: open


@dataclass(frozen=True)
class Light:
    style: str  # class in report.css: passed, failed, open or off
    name: str
    line: str

    @property
    def symbol(self) -> str:
        return {"passed": "✓", "failed": "✗", "open": "?"}.get(self.style, "–")


def control_lights(controls: Controls, searched: bool = False) -> list[Light]:
    """``searched``: in a recipe, each switch left out is a control of its own."""
    control, sentence = controls.positive.control, controls.positive.sentence
    positive = Light(STYLES.get(control, "open"), f"positive control: {control}", sentence)
    return [*[positive] * (not searched), *_twin_light(controls.twins)]


def _twin_light(twins: list[Twin]) -> Iterator[Light]:
    if not twins:
        yield Light(
            "off",
            "A/A twins: none",
            "No baseline was timed twice, so nothing shows how noisy the costs are.",
        )
        return
    counts = Counter(twin.check for twin in twins)
    found = ", ".join(f"{counts[check]} {check}" for check in TwinCheck if counts[check])
    style = next(
        (str(check) for check in (TwinCheck.failed, TwinCheck.passed) if counts[check]), "open"
    )
    if style == TwinCheck.passed and counts[TwinCheck.inconclusive]:
        style = "open"
    widest = max((twin.simultaneous for twin in twins), key=lambda ratio: ratio.half_width)
    yield Light(
        style,
        f"A/A twins: {found}",
        f"{plural(len(twins), 'baseline')} timed twice under two names; the widest interval of "
        f"their ratio, which should be 1, is {widest.uncertainty(decimals=1)}.",
    )
