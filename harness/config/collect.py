"""Collection of a frozen Request from the command line; only this file and compose.py use Hydra.

Hydra only *collects*: the decorated function appends one cell to a list, and ``-m`` calls it once
per combination. The study runs after Hydra has returned, over all cells together. Hydra's own
multirun would run one cell after the other in one process, so that drift of the machine between
the first and the last would look like a difference between settings.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tempfile
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from harness.config.compose import (
    baseline_overrides,
    build_cell,
    compose_cell,
    control_cells,
    forget_cells,
)
from harness.config.flags import pop_cfg_job, split_flags
from harness.config.program_command import split_program
from harness.config.schema import build_schema
from harness.core.claims import TIMED_RULES, Claim
from harness.core.errors import UsageError
from harness.core.paths import CONF
from harness.core.redact import redact
from harness.core.spec import Cell
from harness.study.request import (
    Diagnose,
    Launch,
    Perturb,
    Recipe,
    Replay,
    Request,
    RequestedCell,
    RequestedClaim,
    Runs,
    Study,
    Timing,
    Trace,
)

# Follows a message of Hydra, whose grammar needs quotes around most arguments of a script.
ARGUMENTS = "write the script's command after `--`, as in `-- python train.py --lr=0.1`"
SWEEP = {"-m", "--multirun"}
CELL_KEYS = ("scenario", "determinism", "noise", "device")


@dataclass
class _Collected:
    """State shared by all calls of the decorated function."""

    requested: list[RequestedCell] = field(default_factory=list)
    controls: list[Cell] = field(default_factory=list)
    claims: list[RequestedClaim] = field(default_factory=list)
    last: DictConfig | None = None
    shared: dict[Any, Any] | None = None  # the keys of the whole study
    is_multirun: bool = False
    print_only: bool = False  # --cfg job: print each cell's configuration, run no study
    error: UsageError | None = None


def collect(words: Sequence[str]) -> Request | None:
    """Return the described request; None if Hydra only printed (--help, --cfg, --info).

    ``words`` may end with `--` and the command of a training. Raises UsageError if they are
    invalid, without a message if Hydra has printed its own.
    """
    forget_cells()
    ConfigStore.instance().store(name="bench_schema", node=build_schema())
    hint = "" if "--" in words or not any(map(_is_of_script, words)) else ARGUMENTS
    words = split_program(words)
    flags, overrides = split_flags(words)
    if any(word.startswith("matrix=") for word in overrides) and not SWEEP & set(flags):
        flags = [*flags, "--multirun"]  # or Hydra refuses to replace a value of the matrix's sweeps
    collected = _Collected(print_only=pop_cfg_job(flags))
    with tempfile.TemporaryDirectory(prefix="harness-hydra-") as scratch:
        sys.argv = ["harness", *flags, *overrides, f"hydra.sweep.dir={scratch}"]
        _run_hydra(collected, hint)
    if collected.error:
        raise collected.error
    if not collected.requested or collected.last is None:
        return None
    return _build_request(collected, collected.last, words)


def _is_of_script(word: str) -> bool:
    """Whether a word is part of a script's command, or its arguments in Hydra's grammar."""
    return word.startswith("scenario.args=") or word == "python" or word.endswith(".py")


def _run_hydra(collected: _Collected, hint: str) -> None:
    """``hint`` follows Hydra's own message about invalid words."""

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="bench")
    def collect_cell(config: DictConfig) -> None:
        if collected.print_only:
            print(OmegaConf.to_yaml(config), end="")
            return
        collected.last = config
        collected.is_multirun |= HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            _add_cell(collected, config)
        except UsageError as error:  # raised here, Hydra would print a traceback
            collected.error = error
        except HydraException as error:  # a baseline or control does not exist
            collected.error = UsageError(str(error))

    try:
        collect_cell()
    except SystemExit as end:  # Hydra has printed its message and exits with status 1
        if end.code not in (0, None):
            raise UsageError(hint) from end


def _add_cell(collected: _Collected, config: DictConfig) -> None:
    """Add this combination's cell with its baseline, and the control's cells once."""
    _check_same_study(collected, config)
    if not collected.claims:
        for claim in load_claims(config.claims_of):
            _add_claim(collected, config, claim)
    if not collected.requested:
        for words in expand_sweeps(config.also):
            collected.requested.append(
                RequestedCell(compose_cell([*words, f"device={config.device}"]), None)
            )
    composed = HydraConfig.get()
    overrides = list(composed.overrides.task)
    cell = build_cell(config, composed.runtime.choices, overrides)
    if any(requested.cell == cell for requested in collected.requested):
        collected.requested = [
            dataclasses.replace(requested, for_claim=requested.for_claim and requested.cell != cell)
            for requested in collected.requested
        ]
        return
    baseline = None
    if config.study.baseline is not None:
        baseline = compose_cell(
            [*baseline_overrides(overrides), f"determinism={config.study.baseline}"]
        )
    collected.requested.append(RequestedCell(cell, baseline))
    if config.study.control is not None:
        cells = control_cells(config.study.control, overrides)  # one pair per device
        collected.controls += [cell for cell in cells if cell not in collected.controls]


def expand_sweeps(sweeps: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the overrides of a matrix's additional cells: all combinations of each sweep."""
    for sweep in sweeps:
        axes = (word.partition("=") for word in sweep.split())
        yield from itertools.product(
            *([f"{key}={value}" for value in values.split(",")] for key, _, values in axes)
        )


def load_claims(names: Sequence[str]) -> Iterator[Claim]:
    """Yield the claims of conf/claims/NAME.yaml; raises UsageError if there is no such file."""
    for name in names:
        path = CONF / "claims" / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
            raise UsageError(f"claims_of: unknown claims '{name}': allowed are {known}")
        document = typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
        for claim, fields in document["claims"].items():
            template = {"name": claim, "source": document["source"], **fields}
            yield from map(Claim.from_json, _expand_each(template))


def _expand_each(claim: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a claim for each entry of ``each``, which replaces ``{each}`` in its strings."""
    if "each" not in claim:
        yield claim
    sentence = {"sentence": claim["name"].replace("{each}", "*")}
    for name in claim.pop("each", ()):
        yield _substitute({**claim, **sentence}, name)


def _substitute(tree: Any, name: str) -> Any:
    if isinstance(tree, dict):
        return {key: _substitute(value, name) for key, value in tree.items()}
    return tree.replace("{each}", name) if isinstance(tree, str) else tree


def _add_claim(collected: _Collected, config: DictConfig, claim: Claim) -> None:
    """Add a claim and its cells, timed against their baseline if a cost decides the claim."""
    cells = {}
    timed = claim.rule in TIMED_RULES
    for role, overrides in claim.cells.items():
        words = [*overrides.split(), f"device={config.device}"]
        _check_names_cell(claim, words)
        try:
            cells[role] = compose_cell(words)
            baseline = (
                compose_cell([*baseline_overrides(words), "determinism=seed"]) if timed else None
            )
        except HydraException as error:
            raise UsageError(f"claim '{claim.name}': {error}") from error
        collected.requested.append(
            RequestedCell(cells[role], baseline, claim.needs, timed, for_claim=True)
        )
    collected.claims.append(RequestedClaim(claim, cells))


def _check_names_cell(claim: Claim, words: Sequence[str]) -> None:
    """Raises UsageError if a default would decide which cells are compared."""
    groups = {word.partition("=")[0] for word in words}
    if "scenario" not in groups or not groups & {"determinism", "noise"}:
        raise UsageError(
            f"claim '{claim.name}': a cell needs scenario=, and determinism= or "
            f"noise=, got '{' '.join(words)}'"
        )


def _check_same_study(collected: _Collected, config: DictConfig) -> None:
    """Raises UsageError if a key of the whole study is swept."""
    shared = {key: config[key] for key in config if key not in CELL_KEYS}
    if collected.shared is not None and collected.shared != shared:
        differing = [key for key in shared if shared[key] != collected.shared[key]]
        raise UsageError(
            f"{', '.join(map(str, differing))} cannot be swept: it applies to the whole study; "
            "sweep scenario, determinism, noise, device, or keys of these"
        )
    collected.shared = shared


def _build_request(collected: _Collected, config: DictConfig, words: Sequence[str]) -> Request:
    def section(kind: type, name: str) -> Any:
        return kind(**typing.cast(dict[str, Any], OmegaConf.to_container(config[name])))

    names_settings = any(word.startswith("determinism=") for word in words)  # so run all of them
    return Request(
        asked=tuple(collected.requested),
        controls=tuple(collected.controls) if collected.is_multirun else (),
        runs=section(Runs, "runs"),
        timing=section(Timing, "timing"),
        trace=section(Trace, "trace"),
        study=section(Study, "study"),
        launch=Launch.from_json(typing.cast(dict[str, Any], OmegaConf.to_container(config.launch))),
        matrix=config.matrix_name,
        not_for_conclusions=config.not_for_conclusions,
        settings_for_cuda=() if names_settings else tuple(config.settings_for_cuda),
        words=tuple(redact(word) for word in words),
        claims=tuple(collected.claims),
        diagnose=section(Diagnose, "diagnose"),
        replay=section(Replay, "replay"),
        recipe=section(Recipe, "recipe"),
        perturb=section(Perturb, "perturb"),
    )
