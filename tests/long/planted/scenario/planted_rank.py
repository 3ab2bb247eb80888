"""A training on two processes with a race on rank 1 only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import planted
from harness.scenarios import ddp
from torch import Tensor, nn

from harness.scenario import Context


@dataclass(frozen=True)
class Options:
    step: int = 3
    where: Literal["forward", "backward"] = "forward"


def build(options: Options, context: Context) -> ddp.Sharded:
    import planted_rank  # noqa: PLC0415 - this module, by a name that a child can import

    child = partial(planted_rank.add_race, context.in_child, options.step, options.where)
    return ddp.build(ddp.Options(steps=6), dataclasses.replace(context, in_child=child))


def add_race(set_up: Callable[[], None], step: int, where: str) -> None:
    """Set up the child as usual, then add a race after one layer."""
    set_up()
    fault = planted.Options(kind="atomics or reduction order")
    calls = count(1)

    def spoil_output(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        if not isinstance(module, nn.ReLU) or next(calls) != step:
            return None
        if where == "backward":
            output.register_hook(lambda grad: grad + planted.apply_fault(grad, fault))
            return None
        return output + planted.apply_fault(output, fault)

    nn.modules.module.register_module_forward_hook(spoil_output)
