"""Treatments are tried where they can have an effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.core.spec import Cell
from harness.diagnose.treatments import WARM_UP, first_call_treatments


@pytest.mark.parametrize(
    ("device", "is_warm", "tried"),
    [("cpu", False, [WARM_UP]), ("cpu", True, []), ("cuda", False, [])],
)
def test_a_warm_up_is_tried_on_a_cpu_that_lacks_it(
    device: str, is_warm: bool, tried: list[object], make_cell: Callable[..., Cell]
) -> None:
    """The race is one of the CPU's vector math, and is absent after a warm-up."""
    cell = make_cell(device=device)
    cell = replace(cell, determinism=replace(cell.determinism, vector_math_warm_up=is_warm))
    assert list(first_call_treatments(cell)) == tried


def test_the_treatment_asks_for_the_warm_up(make_cell: Callable[..., Cell]) -> None:
    """A treated cell differs in the setting and has the override that its user can type."""
    treated = WARM_UP.apply(make_cell())
    assert treated.determinism.vector_math_warm_up
    assert treated.overrides == ("determinism.vector_math_warm_up=true",)
