"""Command-line words in, one frozen Request out: with composition.py, all that knows Hydra.

Hydra merely *collects*. The decorated function appends one cell to a list, ``-m`` calls it once per
combination, and the study runs after Hydra has returned, over all cells together: Hydra's own
multirun would run cell after cell in one process, and a machine that drifts between the first and
the last would be read as a difference between settings.
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
from omegaconf import MISSING, DictConfig, OmegaConf

from harness.config.compose import baseline_overrides, build_cell, compose_cell, control_cells
from harness.config.flags import pop_cfg_job, split_flags
from harness.core.claims import TIMED_RULES, Claim
from harness.core.errors import UsageError
from harness.core.paths import CONF
from harness.core.redact import redact
from harness.core.spec import Cell, Determinism, Noise
from harness.study.request import (
    Diagnose,
    Launch,
    Replay,
    Request,
    RequestedCell,
    RequestedClaim,
    Runs,
    Study,
    Timing,
    Trace,
)

CELL_KEYS = ("scenario", "determinism", "noise", "device")


def _unfreeze(frozen: type) -> type:
    """The same dataclass, not frozen: OmegaConf takes no override into a frozen one."""
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


def _build_schema() -> type:
    """The types of bench.yaml; Hydra refuses a key or value that does not fit them."""
    parts: list[Any] = [("scenario", Any, field(default=MISSING))]
    kinds = {
        "determinism": Determinism,
        "runs": Runs,
        "timing": Timing,
        "trace": Trace,
        "study": Study,
        "launch": Launch,
        "diagnose": Diagnose,
        "replay": Replay,
    }
    for name, kind in kinds.items():
        part = _unfreeze(kind)
        parts.append((name, part, field(default_factory=part)))
    parts.append(("noise", Noise, field(default=Noise.none)))
    parts.append(("device", str, field(default="auto")))
    parts.append(("matrix_name", str | None, field(default=None)))
    parts.append(("not_for_conclusions", bool, field(default=False)))
    parts.append(("settings_for_cuda", list[str], field(default_factory=list)))
    parts.append(("also", list[str], field(default_factory=list)))
    parts.append(("claims_of", list[str], field(default_factory=list)))
    return dataclasses.make_dataclass("Bench", parts)


@dataclass
class _Collected:
    """What the calls of the decorated function leave behind."""

    asked: list[RequestedCell] = field(default_factory=list)
    controls: list[Cell] = field(default_factory=list)
    claims: list[RequestedClaim] = field(default_factory=list)
    last: DictConfig | None = None
    shared: dict[Any, Any] | None = None  # what is the study's and not a cell's
    several: bool = False
    print_only: bool = False  # --cfg job: each cell's configuration, and no study
    error: UsageError | None = None


def collect(words: Sequence[str]) -> Request | None:
    """The request that the words spell; None where Hydra only printed (--help, --cfg, --info).

    Raises UsageError where the words do not fit, after Hydra's own message where it has one.
    """
    ConfigStore.instance().store(name="bench_schema", node=_build_schema())
    flags, overrides = split_flags(words)
    found = _Collected(print_only=pop_cfg_job(flags))
    with tempfile.TemporaryDirectory(prefix="harness-hydra-") as scratch:
        sys.argv = ["harness", *flags, *overrides, f"hydra.sweep.dir={scratch}"]
        _run_hydra(found)
    if found.error:
        raise found.error
    if not found.asked or found.last is None:
        return None
    return _build_request(found, found.last, words)


def _run_hydra(found: _Collected) -> None:
    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="bench")
    def collecting(config: DictConfig) -> None:
        if found.print_only:
            print(OmegaConf.to_yaml(config), end="")
            return
        found.last = config
        found.several |= HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            _add_cell(found, config)
        except UsageError as error:  # raised here, Hydra would print a traceback
            found.error = error
        except HydraException as error:  # of a baseline or control that does not exist
            found.error = UsageError(str(error))

    try:
        collecting()
    except SystemExit as end:  # Hydra has printed its message and ends with status 1
        if end.code not in (0, None):
            raise UsageError("") from end


def _add_cell(found: _Collected, config: DictConfig) -> None:
    """Adds this combination's cell with its baseline, and the control's cells once."""
    _check_same_study(found, config)
    if not found.claims:
        for claim in load_claims(config.claims_of):
            _add_claim(found, config, claim)
    if not found.asked:
        for words in expand_sweeps(config.also):
            found.asked.append(
                RequestedCell(compose_cell([*words, f"device={config.device}"]), None)
            )
    chosen = HydraConfig.get()
    overrides = list(chosen.overrides.task)
    cell = build_cell(config, chosen.runtime.choices, overrides)
    if any(asked.cell == cell for asked in found.asked):
        found.asked = [
            dataclasses.replace(one, for_claim=one.for_claim and one.cell != cell)
            for one in found.asked
        ]
        return
    baseline = None
    if config.study.baseline is not None:
        baseline = compose_cell(
            [*baseline_overrides(overrides), f"determinism={config.study.baseline}"]
        )
    found.asked.append(RequestedCell(cell, baseline))
    if config.study.control is not None:
        cells = control_cells(config.study.control, overrides)  # a pair for each device
        found.controls += [one for one in cells if one not in found.controls]


def expand_sweeps(sweeps: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Overrides of the cells that a matrix has beside its own: all combinations of each sweep."""
    for sweep in sweeps:
        axes = (word.partition("=") for word in sweep.split())
        yield from itertools.product(
            *([f"{key}={value}" for value in values.split(",")] for key, _, values in axes)
        )


def load_claims(names: Sequence[str]) -> Iterator[Claim]:
    """The claims of conf/claims/NAME.yaml; raises UsageError where there is no such file."""
    for name in names:
        path = CONF / "claims" / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml")))
            raise UsageError(f"no claims '{name}': there are {known}")
        document = typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
        for claim, fields in document["claims"].items():
            for one in _expand_each({"name": claim, "source": document["source"], **fields}):
                yield Claim.from_json(one)


def _expand_each(claim: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A claim made of several things is one of each: ``{each}`` in its texts stands for them."""
    if "each" not in claim:
        yield claim
    for name in claim.pop("each", ()):
        yield _substitute(claim, name)


def _substitute(tree: Any, name: str) -> Any:
    if isinstance(tree, dict):
        return {key: _substitute(value, name) for key, value in tree.items()}
    return tree.replace("{each}", name) if isinstance(tree, str) else tree


def _add_claim(found: _Collected, config: DictConfig, claim: Claim) -> None:
    """Adds a claim and its cells; one whose cost decides is timed against its baseline."""
    cells = {}
    timed = claim.rule in TIMED_RULES
    for role, spelt in claim.cells.items():
        words = [*spelt.split(), f"device={config.device}"]
        _check_names_cell(claim, words)
        try:
            cells[role] = compose_cell(words)
            baseline = (
                compose_cell([*baseline_overrides(words), "determinism=seed"]) if timed else None
            )
        except HydraException as error:
            raise UsageError(f"claim '{claim.name}': {error}") from error
        found.asked.append(RequestedCell(cells[role], baseline, claim.needs, timed, for_claim=True))
    found.claims.append(RequestedClaim(claim, cells))


def _check_names_cell(claim: Claim, words: Sequence[str]) -> None:
    """Raises UsageError where a default would decide what is compared."""
    groups = {word.partition("=")[0] for word in words}
    if "scenario" not in groups or not groups & {"determinism", "noise"}:
        raise UsageError(
            f"claim '{claim.name}': a cell needs scenario=, and determinism= or "
            f"noise=, got '{' '.join(words)}'"
        )


def _check_same_study(found: _Collected, config: DictConfig) -> None:
    """Raises UsageError where something is swept that is not a cell's but the whole study's."""
    shared = {key: config[key] for key in config if key not in CELL_KEYS}
    if found.shared is not None and found.shared != shared:
        differing = [key for key in shared if shared[key] != found.shared[key]]
        raise UsageError(
            f"{', '.join(map(str, differing))} cannot be swept: a study has one value of it; "
            "sweep scenario, determinism, noise, device and what belongs to them"
        )
    found.shared = shared


def _build_request(found: _Collected, config: DictConfig, words: Sequence[str]) -> Request:
    def part(kind: type, name: str) -> Any:
        return kind(**typing.cast(dict[str, Any], OmegaConf.to_container(config[name])))

    named = any(word.startswith("determinism=") for word in words)  # by whoever asks: all wanted
    return Request(
        asked=tuple(found.asked),
        controls=tuple(found.controls) if found.several else (),
        runs=part(Runs, "runs"),
        timing=part(Timing, "timing"),
        trace=part(Trace, "trace"),
        study=part(Study, "study"),
        launch=part(Launch, "launch"),
        matrix=config.matrix_name,
        not_for_conclusions=config.not_for_conclusions,
        settings_for_cuda=() if named else tuple(config.settings_for_cuda),
        words=tuple(redact(word) for word in words),
        claims=tuple(found.claims),
        diagnose=part(Diagnose, "diagnose"),
        replay=part(Replay, "replay"),
    )
