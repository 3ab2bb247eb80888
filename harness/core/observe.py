"""`harness.observe(loss=loss, accuracy=accuracy)`, by which a script declares its results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

listeners: list[Callable[[str, Any], None]] = []  # registered by this process's run, if it is one


def observe(**values: Any) -> None:
    """Declare results that runs are compared by: tensors, arrays, numbers, text, or nests of them.

    ``loss`` is the loss of this step, instead of the tensor that a backward pass started from;
    declare it before the optimizer's step. Any other name may be declared once or many times, with
    or without a training: two runs differ if its values do. Outside a run of the harness this does
    nothing, so that the call can stay in the script.
    """
    for name, value in values.items():
        for listener in listeners:
            listener(name, value)
