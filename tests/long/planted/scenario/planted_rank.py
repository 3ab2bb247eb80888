"""The training on two processes, with a race on rank 1 alone."""

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
    import planted_rank  # noqa: PLC0415 - itself, by the name under which a child can import it

    child = partial(planted_rank.spoil, context.in_child, options.step, options.where)
    return ddp.build(ddp.Options(steps=6), dataclasses.replace(context, in_child=child))


def spoil(plain: Callable[[], None], step: int, where: str) -> None:
    """In the child: what it would do anyway, and a race after one layer."""
    plain()
    fault = planted.Options(kind="atomics or reduction order")
    calls = count(1)

    def bend(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        if not isinstance(module, nn.ReLU) or next(calls) != step:
            return None
        if where == "backward":
            output.register_hook(lambda grad: grad + planted.spoiled(grad, fault))
            return None
        return output + planted.spoiled(output, fault)

    nn.modules.module.register_module_forward_hook(bend)
