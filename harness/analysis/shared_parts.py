"""Records that take little memory: a study may have a hundred thousand, which mostly end alike."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from harness.core.record import Repeat, RunRecord, Timed

T = TypeVar("T")


class SharedParts:
    """Packs the numbers of records, and makes equal parts of them one object."""

    def __init__(self) -> None:
        self.known: dict[Hashable, Any] = {}

    def parts_of(self, run: RunRecord) -> RunRecord:
        cell = (run.spec.cell.scenario.label, run.spec.cell.setting, run.spec.cell.device)
        spec = dataclasses.replace(
            run.spec,
            cell=self._known((cell, "cell"), run.spec.cell),
            environment=self._known((cell, "environment"), run.spec.environment),
        )
        return dataclasses.replace(
            run,
            spec=spec,
            effective=self._known((cell, "effective"), run.effective),
            repeats=[
                self._known((cell, *repeat.final.values()), _packed_repeat(repeat))
                for repeat in run.repeats
            ],
            timed=_packed_times(run.timed),
            arms=[dataclasses.replace(arm, timed=_packed_times(arm.timed)) for arm in run.arms],
        )

    def _known(self, key: Hashable, value: T) -> T:
        """The first value with this key if it is equal, else the value itself."""
        known: T = self.known.setdefault(key, value)
        return known if known == value else value


def _packed_repeat(repeat: Repeat) -> Repeat:
    return dataclasses.replace(
        repeat, losses=_packed(repeat.losses), predictions=_packed(repeat.predictions)
    )


def _packed_times(timed: Timed | None) -> Timed | None:
    return dataclasses.replace(timed, step_s=_packed(timed.step_s)) if timed else None


def _packed(numbers: Sequence[T]) -> Sequence[T]:
    """The same numbers in an array, if they are of one kind that it holds exactly."""
    kinds = set(map(type, numbers))
    with suppress(OverflowError):
        if kinds == {float}:
            return cast(Sequence[T], array("d", cast(Sequence[float], numbers)))
        if kinds == {int}:
            return cast(Sequence[T], array("h", cast(Sequence[int], numbers)))
    return numbers
