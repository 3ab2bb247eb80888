"""A determinism setting by its name, without Hydra, whose state is the whole process's and may be
in use by whoever calls.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from omegaconf import OmegaConf

from harness.core.paths import CONF
from harness.core.spec import Determinism, to_json

FOLDER = CONF / "determinism"


def load_preset(name: str, threads: int | None = None) -> Determinism:
    """The setting in conf/determinism/<name>.yaml, on so many threads where that is given.

    Raises ValueError where there is no such setting.
    """
    merged = OmegaConf.merge(to_json(Determinism()), *_load_layers(name))
    document = typing.cast(dict[str, Any], OmegaConf.to_container(merged))
    setting = Determinism.from_json(document)
    return setting if threads is None else dataclasses.replace(setting, threads=threads)


def _load_layers(name: str) -> list[dict[Any, Any]]:
    """A setting's document after those that it builds on."""
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"no determinism setting '{name}': there are {', '.join(known)}")
    document = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    assert isinstance(document, dict)
    under = [layer for base in document.pop("defaults", ()) for layer in _load_layers(base)]
    return [*under, document]
