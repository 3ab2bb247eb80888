"""Determinism settings by name, without Hydra: its state is global, and the caller may use it."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from omegaconf import OmegaConf

from harness.core.paths import CONF
from harness.core.spec import Determinism
from harness.core.spec_json import to_json

FOLDER = CONF / "determinism"


def load_preset(name: str, threads: int | None = None) -> Determinism:
    """Return the setting in conf/determinism/<name>.yaml, with another ``threads`` if given.

    Raises ValueError if there is no such setting.
    """
    merged = OmegaConf.merge(to_json(Determinism()), *_load_layers(name))
    document = typing.cast(dict[str, Any], OmegaConf.to_container(merged))
    setting = Determinism.from_json(document)
    return setting if threads is None else dataclasses.replace(setting, threads=threads)


def _load_layers(name: str) -> list[dict[Any, Any]]:
    """Return a setting's document, preceded by those that it builds on."""
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"unknown determinism setting '{name}': allowed are {', '.join(known)}")
    document = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    assert isinstance(document, dict)
    layers = [layer for base in document.pop("defaults", ()) for layer in _load_layers(base)]
    return [*layers, document]
