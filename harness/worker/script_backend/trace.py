"""The trace of a script: digests of every step, and snapshots of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.record import Repeat
from harness.core.spec import RunSpec
from harness.core.steps import Components, Steps
from harness.worker.script_backend.final_state import final_digests
from harness.worker.script_backend.sandbox import Sandbox
from harness.worker.torch_backend import components, snapshot
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests
from harness.worker.torch_backend.trace import mean_loss


class ScriptTrace:
    def __init__(self, snapshots: Path) -> None:
        self.snapshots = snapshots
        self.inputs = InputDigests()
        self.hooks = TrainingHooks(self.inputs)
        self.initial: str | None = None
        self.steps: list[Components] = []
        self.losses: list[float | str] = []
        self.kept: dict[str, str] = {}  # snapshots by step
        self.rng_before = components.rng()
        self.grads_before = ""

    def install(
        self,
        before_step: Callable[[], None] = lambda: None,
        after_step: Callable[[], None] = lambda: None,
        at_forward: Callable[[nn.Module], None] = lambda _: None,
    ) -> AbstractContextManager[None]:
        """Install the hooks; the functions are called before the digests of what they change."""

        def begin() -> None:
            before_step()
            self._before_step()

        def end() -> None:
            after_step()
            self._after_step()

        return self.hooks.install(begin, end, at_forward, self._after_backward)

    def _before_step(self) -> None:
        if self.initial is None:
            self.initial = digest(components.params(self.hooks))

    def _after_backward(self, grads: Sequence[Tensor] | None) -> None:
        named = components.grads(self.hooks) if grads is None else components.returned_grads(grads)
        self.grads_before = digest(named)

    def _after_step(self) -> None:
        batch = components.joint_digest(self.inputs.digests)
        losses = self.hooks.last_losses
        loss = losses[0] if losses else torch.tensor(float("nan"))
        self.steps.append(
            components.step_digests(self.hooks, self.rng_before, batch, loss, self.grads_before)
        )
        self.grads_before = ""
        self.losses.extend(map(mean_loss, losses))
        if snapshot.is_due(len(self.steps)):
            self._save_snapshot()
        self.rng_before = components.rng()

    def _save_snapshot(self) -> None:
        step = str(len(self.steps))
        if step not in self.kept:
            self.kept[step] = snapshot.save_snapshot(self.hooks, self.snapshots)

    def finish(self) -> None:
        """Raises ObserverError if a hook has failed."""
        self.hooks.check()
        if self.hooks.models:
            self._save_snapshot()

    def repeat(self, spec: RunSpec, sandbox: Sandbox, ranks: dict[str, Any]) -> Repeat:
        hooks = self.hooks
        return Repeat(
            initial=self.initial or "",
            steps=Steps.of(self.steps),
            losses=self.losses if len(self.losses) == len(self.steps) else [],
            final=final_digests(hooks, sandbox, spec, ranks),
            predictions=[],
            accuracy=None,
            facts={
                **step_counts(hooks),
                **({"models": ", ".join(hooks.models)} if hooks.models else {}),
                **self._undigested(),
                **sandbox.facts(),
            },
            snapshots=self.kept,
        )

    def _undigested(self) -> dict[str, list[str]]:
        """What has no defined bits, so that a difference in it would not be seen."""
        found = {
            *self.hooks.undigested,
            *(f"{kind} in a model's arguments" for kind in self.inputs.undigested),
            *(f"{kind} in an optimizer" for kind in components.undigested_state(self.hooks)),
        }
        return {"not digested": sorted(found)} if found else {}


def step_counts(hooks: TrainingHooks) -> dict[str, int]:
    """The steps of optimizers, and those of a script that updates its parameters by itself."""
    by_hand = {"steps without an optimizer": hooks.manual_steps} if hooks.manual_steps else {}
    return {"optimizer steps": hooks.steps - hooks.manual_steps, **by_hand}
