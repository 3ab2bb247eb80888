"""The switches of a setting, and the cell that has only some of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.command_line import split_words
from harness.core.spec import Cell, Determinism
from harness.core.switches import CUDA_ONLY, FILL, SEEDS, same_experiment, settings_of
from harness.diagnose.switch_search import Kept

HASH_SEED = "python_hash_seed"
# Those that cost least come first: of two sets that suffice, the search prefers the first ones.
BY_COST = (
    *SEEDS,
    HASH_SEED,
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
    "deterministic_operations",
    "attention",
    "fill_uninitialized_memory",
    "fresh_memory",
    "threads",
)
ONLY_SEED = (*SEEDS, HASH_SEED, "loader.generator", "loader.worker_init")
DEFAULT = "full_warm"  # the setting whose switches are examined if none is named
PRESET_SEED = 42  # of conf/determinism/seed.yaml


@dataclass(frozen=True)
class Switches:
    """The switches of ``full``, a cell with all of them, that have an effect on its device."""

    full: Cell
    names: tuple[str, ...]  # in the order of BY_COST
    without_effect: tuple[str, ...] = ()  # that the setting turns, in vain
    out_of_reach: tuple[str, ...] = ()  # that cannot be set from outside the program

    @classmethod
    def turned_by(cls, full: Cell) -> Switches:
        """All switches of the setting, whether or not they have an effect."""
        own = full.determinism.switches()
        seeds = [name for name in SEEDS if own[name]] if full.determinism.seed is not None else []
        others = full.determinism.turned().keys() - {"seed", *SEEDS}
        return cls(full, tuple(sorted([*seeds, *others], key=BY_COST.index)))

    @classmethod
    def of(cls, full: Cell) -> Switches:
        turned = cls.turned_by(full)
        is_script = full.scenario.framework == "script"
        outside = [name for name in turned.names if is_script and name.startswith("loader.")]
        ignored = [
            name
            for name in turned.names
            if name not in (*SEEDS, *outside)
            and (_needs_cuda(full, name) or same_experiment(full, _without(full, name)))
        ]
        return dataclasses.replace(
            turned.but([*ignored, *outside]),
            without_effect=tuple(ignored),
            out_of_reach=tuple(outside),
        )

    def with_value(self, name: str, value: Any) -> Switches:
        """The same with another value of a switch."""
        determinism = self.full.determinism.with_switches({name: value})
        return dataclasses.replace(
            self, full=dataclasses.replace(self.full, determinism=determinism)
        )

    def but(self, names: Collection[str]) -> Switches:
        """The same without some, which no set has."""
        kept = tuple(name for name in self.names if name not in names)
        return dataclasses.replace(self, names=kept)

    @property
    def seeds(self) -> Kept:
        return frozenset(name for name in self.names if name in SEEDS)

    @property
    def with_cost(self) -> list[str]:
        """Those that may change how long a step takes; a seed does not."""
        return [name for name in self.names if name not in ONLY_SEED]

    def value(self, name: str) -> Any:
        determinism = self.full.determinism
        return determinism.seed if name in SEEDS else determinism.switches()[name]

    def ordered(self, kept: Kept) -> list[str]:
        return [name for name in self.names if name in kept]

    def cell(self, kept: Kept, **others: Any) -> Cell:
        """The training with only these switches, and ``others`` by name, and torch's defaults."""
        values = settings_of({name: self.value(name) for name in self.ordered(kept)})
        if "algorithms" not in kept:  # without which torch fills nothing
            values.pop(FILL, None)
        elif FILL in self.names and FILL not in kept:
            values[FILL] = False  # torch's default fills
        values |= others
        setting = "seed" if values == {"seed": PRESET_SEED} else "none"
        own = [word for word in self.full.overrides if not word.startswith("determinism.")]
        if setting == "none":
            own += [f"determinism.{name}={_as_word(value)}" for name, value in values.items()]
        determinism = Determinism().with_switches(values)
        return dataclasses.replace(
            self.full, setting=setting, determinism=determinism, overrides=tuple(sorted(own))
        )


def with_setting(words: Sequence[str], default: str = DEFAULT) -> list[str]:
    """Return the words with the setting whose switches are examined if they name none."""
    own, program_words = split_words(words)
    if not any(word.startswith("determinism=") for word in own):
        own.append(f"determinism={default}")
    return [*own, *program_words]


def _needs_cuda(cell: Cell, name: str) -> bool:
    """Also of scripts, which see no GPU if the device is the CPU."""
    return cell.device == "cpu" and name.partition(".")[0] in CUDA_ONLY


def _as_word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _without(cell: Cell, name: str) -> Cell:
    default = Determinism().switches()[name]
    return dataclasses.replace(cell, determinism=cell.determinism.with_switches({name: default}))
