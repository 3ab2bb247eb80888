"""The types of bench.yaml, from the data classes of a request."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import field
from typing import Any

from omegaconf import MISSING

from harness.core.spec import Determinism, Noise
from harness.study.request import (
    Diagnose,
    Launch,
    Perturb,
    Recipe,
    Replay,
    Runs,
    Study,
    Timing,
    Trace,
)


def _unfreeze(frozen: type) -> type:
    """Return the same dataclass, not frozen: OmegaConf rejects overrides of frozen ones."""
    hints = typing.get_type_hints(frozen)
    fields: list[Any] = []
    for item in dataclasses.fields(frozen):
        kind = hints[item.name]
        if dataclasses.is_dataclass(kind):
            inner = _unfreeze(typing.cast(type, kind))
            fields.append((item.name, inner, field(default_factory=inner)))
        elif item.default is not dataclasses.MISSING:
            fields.append((item.name, kind, field(default=item.default)))
        else:
            assert item.default_factory is not dataclasses.MISSING
            fields.append((item.name, kind, field(default_factory=item.default_factory)))
    return dataclasses.make_dataclass(frozen.__name__, fields)


def build_schema() -> type:
    """Return the types of bench.yaml; Hydra rejects keys and values that do not fit them."""
    fields: list[Any] = [("scenario", Any, field(default=MISSING))]
    kinds = {
        "determinism": Determinism,
        "runs": Runs,
        "timing": Timing,
        "trace": Trace,
        "study": Study,
        "launch": Launch,
        "diagnose": Diagnose,
        "replay": Replay,
        "recipe": Recipe,
        "perturb": Perturb,
    }
    for name, kind in kinds.items():
        section = _unfreeze(kind)
        fields.append((name, section, field(default_factory=section)))
    fields.append(("noise", Noise, field(default=Noise.none)))
    fields.append(("device", str, field(default="auto")))
    fields.append(("matrix_name", str | None, field(default=None)))
    fields.append(("not_for_conclusions", bool, field(default=False)))
    fields.append(("settings_for_cuda", list[str], field(default_factory=list)))
    fields.append(("also", list[str], field(default_factory=list)))
    fields.append(("claims_of", list[str], field(default_factory=list)))
    return dataclasses.make_dataclass("Bench", fields)
