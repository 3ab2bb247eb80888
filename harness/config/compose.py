"""Composition of cells, their baselines and the control from command-line overrides."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS
from harness.core.paths import CONF, SCENARIOS
from harness.core.redact import mask_secrets, portable_path, redact
from harness.core.spec import Cell, Determinism, Noise, Scenario
from harness.core.switches import CONDITIONS

CONTROL_SETTINGS = ("seed", "full")


def compose_cell(overrides: Sequence[str]) -> Cell:
    """Return the cell that these overrides describe; raises HydraException if they are invalid."""
    return _compose_cell(tuple(overrides))


@cache
def _compose_cell(overrides: tuple[str, ...]) -> Cell:
    """Compose once what all cells of a matrix share: their baselines and the control."""
    config = hydra.compose("bench", list(overrides), return_hydra_config=True)
    return build_cell(config, config.hydra.runtime.choices, overrides)


def forget_cells() -> None:
    """Clear the cache, because the next command may have another search path."""
    _compose_cell.cache_clear()


def control_cells(control: str, overrides: Sequence[str]) -> list[Cell]:
    """Return the control's two cells: the first must vary, the second must be identical."""
    shared = [word for word in overrides if word.split("=")[0] == "device"]
    settings = (f"determinism={setting}" for setting in CONTROL_SETTINGS)
    return [compose_cell([*shared, f"scenario={control}", setting]) for setting in settings]


def baseline_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that a cell shares with its baseline: no setting, switch or noise."""
    excluded = ("determinism=", "determinism.", "noise=")
    conditions = tuple(f"determinism.{name}=" for name in CONDITIONS)
    return [
        word
        for word in overrides
        if not word.lstrip("+").startswith(excluded) or word.lstrip("+").startswith(conditions)
    ]


def build_cell(config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> Cell:
    """Build a cell from a configuration; ``choices`` maps each group of conf/ to its file."""
    label = choices["scenario"]
    options: dict[str, Any] = typing.cast(
        dict[str, Any], OmegaConf.to_container(config.scenario, resolve=True)
    )
    name = str(options.pop("name", label))
    options = {key: _portable_option(key, value) for key, value in options.items()}
    uses_loader = bool(options.pop("uses_loader", True))
    starts_processes = bool(options.pop("starts_processes", False))
    framework = str(options.pop("framework", "torch"))
    if framework not in FRAMEWORKS:
        raise UsageError(f"scenario.framework={framework}: must be one of {', '.join(FRAMEWORKS)}")
    is_script = framework == "script"
    source = str(options["path"] or options["module"]) if is_script else _find_program(name)
    return Cell(
        scenario=Scenario(label, name, options, uses_loader, source, framework, starts_processes),
        setting=choices["determinism"],
        determinism=Determinism.from_json(
            typing.cast(dict[str, Any], OmegaConf.to_container(config.determinism, resolve=True))
        ),
        device=config.device,
        overrides=_canonical_overrides(overrides),
        noise=Noise(config.noise),
    )


def _portable_option(key: str, value: Any) -> Any:
    """Return an option as records hold it, with portable paths.

    Raises UsageError if it looks like a secret.
    """
    if isinstance(value, dict):
        return {name: _portable_option(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        assignment = f"{key}={' '.join(map(str, value))}"
    elif isinstance(value, str):
        assignment = f"{key}={value}"
    else:
        return value
    if mask_secrets(assignment) != assignment:
        raise UsageError(
            f"scenario.{key} looks like a secret, and every record would contain it; "
            "let the training read it from a file instead"
        )
    if isinstance(value, list):
        return [_portable_option(key, item) for item in value]
    return portable_path(Path(value)) if Path(value).is_absolute() else value


def _canonical_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the redacted overrides of scenario and determinism keys, in sorted order."""
    words = (word.lstrip("+") for word in overrides)
    return tuple(
        sorted(redact(word) for word in words if word.startswith(("scenario.", "determinism.")))
    )


def _find_program(name: str) -> str | None:
    """Return the file of a user's own scenario, which is next to its YAML; None for a built-in."""
    is_built_in = (SCENARIOS / f"{name}.py").is_file()
    for source in HydraConfig.get().runtime.config_sources:
        folder = Path(source.path) / "scenario"
        if source.schema != "file" or folder.resolve() == (CONF / "scenario").resolve():
            continue
        candidates = [folder / f"{name}{suffix}" for suffix in (".py", ".yaml")]
        if is_built_in and any(path.is_file() for path in candidates):
            raise UsageError(
                f"scenario '{name}' is built in and cannot be redefined in {folder}: rename yours"
            )
        if (folder / f"{name}.py").is_file():
            return portable_path(folder / f"{name}.py")
    if is_built_in:
        return None
    raise UsageError(
        f"scenario '{name}' has a YAML file but no program: add {name}.py to scenarios/, "
        "or next to the YAML file in the scenario/ folder of a --config-dir"
    )
