"""A composed configuration turned into a cell, and the cells that belong to others composed."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
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
    """The cell that these overrides spell; raises HydraException where they name nothing."""
    config = hydra.compose("bench", list(overrides), return_hydra_config=True)
    return build_cell(config, config.hydra.runtime.choices, overrides)


def control_cells(control: str, overrides: Sequence[str]) -> list[Cell]:
    """The control's two cells: it must vary in the first and be identical in the second."""
    shared = [word for word in overrides if word.split("=")[0] == "device"]
    settings = (f"determinism={setting}" for setting in CONTROL_SETTINGS)
    return [compose_cell([*shared, f"scenario={control}", setting]) for setting in settings]


def baseline_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that a cell's baseline shares: not the setting, its switches and noise."""
    own = ("determinism=", "determinism.", "noise=")
    conditions = tuple(f"determinism.{name}=" for name in CONDITIONS)
    return [
        word
        for word in overrides
        if not word.lstrip("+").startswith(own) or word.lstrip("+").startswith(conditions)
    ]


def build_cell(config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> Cell:
    """``choices`` names the file that each group of conf/ was read from."""
    label = choices["scenario"]
    options: dict[str, Any] = typing.cast(
        dict[str, Any], OmegaConf.to_container(config.scenario, resolve=True)
    )
    name = str(options.pop("name", label))
    options = {key: _portable_option(key, value) for key, value in options.items()}
    uses_loader = bool(options.pop("uses_loader", True))
    framework = str(options.pop("framework", "torch"))
    if framework not in FRAMEWORKS:
        raise UsageError(f"scenario.framework={framework}: allowed are {', '.join(FRAMEWORKS)}")
    is_script = framework == "script"
    source = str(options["path"] or options["module"]) if is_script else _find_program(name)
    return Cell(
        scenario=Scenario(label, name, options, uses_loader, source, framework),
        setting=choices["determinism"],
        determinism=Determinism.from_json(
            typing.cast(dict[str, Any], OmegaConf.to_container(config.determinism, resolve=True))
        ),
        device=config.device,
        overrides=_canonical_overrides(overrides),
        noise=Noise(config.noise),
    )


def _portable_option(key: str, value: Any) -> Any:
    """An option as every record will hold it: paths are relative to here or to home (``~/``).

    Raises UsageError where it looks like a secret.
    """
    if isinstance(value, dict):
        return {name: _portable_option(str(name), one) for name, one in value.items()}
    if isinstance(value, list):
        word = f"{key}={' '.join(map(str, value))}"
    elif isinstance(value, str):
        word = f"{key}={value}"
    else:
        return value
    if mask_secrets(word) != word:
        raise UsageError(
            f"scenario.{key} looks like a secret, and every record would hold it; "
            "have the training read it from a file"
        )
    if isinstance(value, list):
        return [_portable_option(key, one) for one in value]
    return portable_path(Path(value)) if Path(value).is_absolute() else value


def _canonical_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """What else was overridden of the training itself, in one order whatever was typed."""
    words = (word.lstrip("+") for word in overrides)
    return tuple(
        sorted(redact(word) for word in words if word.startswith(("scenario.", "determinism.")))
    )


def _find_program(name: str) -> str | None:
    """The file of a scenario of the user's own: beside its YAML, in a --config-dir's scenario/."""
    ours = (SCENARIOS / f"{name}.py").is_file()
    for source in HydraConfig.get().runtime.config_sources:
        folder = Path(source.path) / "scenario"
        if source.schema != "file" or folder.resolve() == (CONF / "scenario").resolve():
            continue
        if ours and any((folder / f"{name}{suffix}").is_file() for suffix in (".py", ".yaml")):
            raise UsageError(
                f"scenario '{name}' is both the harness's and in {folder}: give yours another name"
            )
        if (folder / f"{name}.py").is_file():
            return portable_path(folder / f"{name}.py")
    if ours:
        return None
    raise UsageError(
        f"scenario '{name}' has a YAML but no program: expected {name}.py in scenarios/ "
        "or beside the YAML in the scenario/ folder of a --config-dir"
    )
