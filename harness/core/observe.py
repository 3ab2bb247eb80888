"""What a script may tell of its own training: `harness.observe(loss=loss)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

listeners: list[Callable[[Any], None]] = []  # of the run that this process is, if it is one


def observe(*, loss: Any) -> None:
    """Gives this step's loss, a number or a tensor, in place of where its backward began.

    To be called before the optimizer's step. Outside of a run of the harness nothing happens, so
    that the line may stay in the script.
    """
    for listener in listeners:
        listener(loss)
