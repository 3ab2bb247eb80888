"""`harness.observe(loss=loss)`, by which a script reports its own loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

listeners: list[Callable[[Any], None]] = []  # registered by this process's run, if it is one


def observe(*, loss: Any) -> None:
    """Report this step's loss, a number or tensor, instead of the one that backward started from.

    Call it before the optimizer's step. Outside a run of the harness it does nothing, so the call
    can stay in the script.
    """
    for listener in listeners:
        listener(loss)
