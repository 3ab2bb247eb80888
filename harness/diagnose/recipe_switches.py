"""The switches of a setting, and the cell that has only some of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from harness.core.spec import Cell, Determinism
from harness.core.switches import same_experiment
from harness.diagnose.switch_search import Kept

# Those that cost least come first: of two sets that suffice, the search prefers the first ones.
BY_COST = (
    "seed",
    "python_hash_seed",
    "loader.generator",
    "loader.worker_init",
    "vector_math_warm_up",
    "cudnn.benchmark",
    "cudnn.enabled",
    "cudnn.deterministic",
    "tf32",
    "matmul_precision",
    "cpu_capability",
    "cublas_workspace",
    "algorithms",
    "fill_uninitialized_memory",
    "fresh_memory",
    "threads",
)
FILL, SEED = "fill_uninitialized_memory", "seed"


@dataclass(frozen=True)
class Switches:
    """The switches of ``full``, a cell with all of them, that have an effect on its device."""

    full: Cell
    names: tuple[str, ...]  # in the order of BY_COST
    without_effect: tuple[str, ...]  # that the setting turns, in vain

    @classmethod
    def of(cls, full: Cell) -> Switches:
        turned = sorted(full.determinism.turned(), key=BY_COST.index)
        has_effect = {
            name: not same_experiment(full, _with_setting(full, _without(full.determinism, name)))
            for name in turned
        }
        return cls(
            full,
            tuple(name for name in turned if has_effect[name]),
            tuple(name for name in turned if not has_effect[name]),
        )

    def value(self, name: str) -> Any:
        return self.full.determinism.switches()[name]

    def cell(self, kept: Kept) -> Cell:
        """The training with only these switches; ``full`` itself with all of them."""
        if kept == frozenset(self.names):
            return self.full
        values = {name: self.value(name) for name in self.names if name in kept}
        if "algorithms" not in kept:  # without which torch fills nothing
            values.pop(FILL, None)
        elif FILL in self.names and FILL not in kept:
            values[FILL] = False  # torch's default fills
        setting = "seed" if values.keys() == {SEED} else "none"
        own = [word for word in self.full.overrides if not word.startswith("determinism.")]
        if setting == "none" or values[SEED] != PRESET_SEED:
            own += [f"determinism.{name}={_as_word(value)}" for name, value in values.items()]
        determinism = Determinism().with_switches(values)
        return dataclasses.replace(
            self.full, setting=setting, determinism=determinism, overrides=tuple(sorted(own))
        )


PRESET_SEED = 42  # of conf/determinism/seed.yaml


def _as_word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _without(setting: Determinism, name: str) -> Determinism:
    return setting.with_switches({name: Determinism().switches()[name]})


def _with_setting(cell: Cell, setting: Determinism) -> Cell:
    return dataclasses.replace(cell, determinism=setting)
