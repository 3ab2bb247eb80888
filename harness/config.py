"""The only file that knows Hydra: command-line words in, one frozen Request out.

Hydra merely *collects*. The decorated function appends one cell to a list, ``-m`` calls it once per
combination, and the study runs after Hydra has returned, over all cells together: Hydra's own
multirun would run cell after cell in one process, and a machine that drifts between the first and
the last would be read as a difference between settings.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from harness.claims import TIMED_RULES, Claim
from harness.errors import UsageError
from harness.frameworks import FRAMEWORKS
from harness.request import Asked, AskedClaim, Launch, Request, Runs, Study, Timing, Trace
from harness.scrub import portable_path, scrub, without_secrets
from harness.spec import Cell, Determinism, Scenario
from harness.switches import CONDITIONS

CONF = Path(__file__).resolve().parent.parent / "conf"
SCENARIOS = CONF.parent / "scenarios"
CONTROL_SETTINGS = ("seed", "full")
VALUE_FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg",
               "-c", "--package", "-p", "--info", "-i")  # fmt: skip


def thawed(frozen: type) -> type:
    """The same dataclass, not frozen: OmegaConf takes no override into a frozen one."""
    hints = typing.get_type_hints(frozen)
    fields: list[Any] = []
    for item in dataclasses.fields(frozen):
        kind = hints[item.name]
        if dataclasses.is_dataclass(kind):
            inner = thawed(typing.cast(type, kind))
            fields.append((item.name, inner, field(default_factory=inner)))
        else:
            fields.append((item.name, kind, field(default=item.default)))
    return dataclasses.make_dataclass(frozen.__name__, fields)


def schema() -> type:
    """The types of bench.yaml; Hydra refuses a key or value that does not fit them."""
    parts: list[Any] = [("scenario", Any, field(default=MISSING))]
    kinds = {"determinism": Determinism, "runs": Runs, "timing": Timing, "trace": Trace,
             "study": Study, "launch": Launch}  # fmt: skip
    for name, kind in kinds.items():
        part = thawed(kind)
        parts.append((name, part, field(default_factory=part)))
    parts.append(("device", str, field(default="auto")))
    parts.append(("matrix_name", str | None, field(default=None)))
    parts.append(("not_for_conclusions", bool, field(default=False)))
    parts.append(("settings_for_cuda", list[str], field(default_factory=list)))
    parts.append(("claims_of", list[str], field(default_factory=list)))
    return dataclasses.make_dataclass("Bench", parts)


@dataclass
class Collected:
    """What the calls of the decorated function leave behind."""

    asked: list[Asked] = field(default_factory=list)
    controls: list[Cell] = field(default_factory=list)
    claims: list[AskedClaim] = field(default_factory=list)
    last: DictConfig | None = None
    shared: dict[Any, Any] | None = None  # what is the study's and not a cell's
    several: bool = False
    print_only: bool = False  # --cfg job: each cell's configuration, and no study
    error: UsageError | None = None


def collect(words: Sequence[str]) -> Request | None:
    """The request that the words spell; None where Hydra only printed (--help, --cfg, --info).

    Raises UsageError where the words do not fit, after Hydra's own message where it has one.
    """
    ConfigStore.instance().store(name="bench_schema", node=schema())
    flags, overrides = apart(words)
    found = Collected(print_only=take_cfg_job(flags))
    with tempfile.TemporaryDirectory(prefix="harness-hydra-") as scratch:
        sys.argv = ["harness", *flags, *overrides, f"hydra.sweep.dir={scratch}"]
        run_hydra(found)
    if found.error:
        raise found.error
    if not found.asked or found.last is None:
        return None
    return request_of(found, found.last, words)


def run_hydra(found: Collected) -> None:
    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="bench")
    def collecting(config: DictConfig) -> None:
        if found.print_only:
            print(OmegaConf.to_yaml(config), end="")
            return
        found.last = config
        found.several |= HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            take_cell(found, config)
        except UsageError as error:  # raised here, Hydra would print a traceback
            found.error = error
        except HydraException as error:  # of a baseline or control that does not exist
            found.error = UsageError(str(error))

    try:
        collecting()
    except SystemExit as end:  # Hydra has printed its message and ends with status 1
        if end.code not in (0, None):
            raise UsageError("") from end


def take_cell(found: Collected, config: DictConfig) -> None:
    """Adds this combination's cell with its baseline, and the control's cells once."""
    check_same_study(found, config)
    if not found.claims:
        for claim in claims_in(config.claims_of):
            take_claim(found, config, claim)
    chosen = HydraConfig.get()
    overrides = list(chosen.overrides.task)
    label, setting = (chosen.runtime.choices[group] for group in ("scenario", "determinism"))
    cell = cell_of(config, label, setting, overrides)
    if any(asked.cell == cell for asked in found.asked):
        found.asked = [dataclasses.replace(one, for_claim=one.for_claim and one.cell != cell)
                       for one in found.asked]  # fmt: skip
        return
    baseline = None
    if config.study.baseline is not None:
        words = [*kept(overrides), f"determinism={config.study.baseline}"]
        composed = hydra.compose(config_name="bench", overrides=words)
        baseline = cell_of(composed, label, config.study.baseline, words)
    found.asked.append(Asked(cell, baseline))
    if config.study.control is not None:
        cells = control_cells(config.study.control, overrides)  # a pair for each device
        found.controls += [one for one in cells if one not in found.controls]


def claims_in(names: Sequence[str]) -> Iterator[Claim]:
    """The claims of conf/claims/NAME.yaml; raises UsageError where there is no such file."""
    for name in names:
        path = CONF / "claims" / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml")))
            raise UsageError(f"no claims '{name}': there are {known}")
        document = typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
        for claim, fields in document["claims"].items():
            yield Claim.from_json({"name": claim, "source": document["source"], **fields})


def take_claim(found: Collected, config: DictConfig, claim: Claim) -> None:
    """Adds a claim and its cells; one whose cost decides is timed against its baseline."""
    cells = {}
    timed = claim.rule in TIMED_RULES
    for role, words in claim.cells.items():
        cells[role] = composed_cell(config, claim, words.split())
        baseline = None
        if timed:
            baseline = composed_cell(config, claim, [*words.split(), "determinism=seed"])
        asked = Asked(cells[role], baseline, claim.needs, timed, for_claim=True)
        found.asked.append(asked)
    found.claims.append(AskedClaim(claim, cells))


def composed_cell(config: DictConfig, claim: Claim, words: Sequence[str]) -> Cell:
    """The cell that a claim's words name; raises UsageError where they name nothing."""
    chosen = dict(word.split("=", 1) for word in words if "=" in word)
    if not {"scenario", "determinism"} <= chosen.keys():
        raise UsageError(f"claim '{claim.name}': a cell needs scenario= and determinism=, "
                         f"got '{' '.join(words)}'")  # fmt: skip
    last = [f"{key}={value}" for key, value in chosen.items()]
    try:
        composed = hydra.compose(config_name="bench", overrides=[*last, f"device={config.device}"])
    except HydraException as error:
        raise UsageError(f"claim '{claim.name}': {error}") from error
    return cell_of(composed, chosen["scenario"], chosen["determinism"], last)


def check_same_study(found: Collected, config: DictConfig) -> None:
    """Raises UsageError where something is swept that is not a cell's but the whole study's."""
    shared = {
        key: config[key] for key in config if key not in ("scenario", "determinism", "device")
    }
    if found.shared is not None and found.shared != shared:
        differing = [key for key in shared if shared[key] != found.shared[key]]
        raise UsageError(
            f"{', '.join(map(str, differing))} cannot be swept: a study has one value of it; "
            "sweep scenario, determinism, device and what belongs to them"
        )
    found.shared = shared


def control_cells(control: str, overrides: Sequence[str]) -> list[Cell]:
    """The control's two cells: it must vary in the first and be identical in the second."""
    shared = [word for word in overrides if word.split("=")[0] == "device"]
    cells = []
    for setting in CONTROL_SETTINGS:
        words = [*shared, f"scenario={control}", f"determinism={setting}"]
        composed = hydra.compose(config_name="bench", overrides=words)
        cells.append(cell_of(composed, control, setting, words))
    return cells


def kept(overrides: Sequence[str]) -> list[str]:
    """The overrides that a cell's baseline shares: all but the setting and its switches."""
    conditions = tuple(f"determinism.{name}=" for name in CONDITIONS)
    return [
        word
        for word in overrides
        if not word.lstrip("+").startswith(("determinism=", "determinism."))
        or word.lstrip("+").startswith(conditions)
    ]


def cell_of(config: DictConfig, label: str, setting: str, overrides: Sequence[str]) -> Cell:
    options: dict[str, Any] = typing.cast(
        dict[str, Any], OmegaConf.to_container(config.scenario, resolve=True)
    )
    name = str(options.pop("name", label))
    options = {key: storable(key, value) for key, value in options.items()}
    uses_loader = bool(options.pop("uses_loader", True))
    framework = str(options.pop("framework", "torch"))
    if framework not in FRAMEWORKS:
        raise UsageError(f"scenario.framework={framework}: allowed are {', '.join(FRAMEWORKS)}")
    return Cell(
        scenario=Scenario(label, name, options, uses_loader, source_of(name), framework),
        setting=setting,
        determinism=Determinism.from_json(
            typing.cast(dict[str, Any], OmegaConf.to_container(config.determinism, resolve=True))
        ),
        device=config.device,
        overrides=canonical(overrides),
    )


def storable(key: str, value: Any) -> Any:
    """An option as every record will hold it: paths are relative to here or to home (``~/``).

    Raises UsageError where it looks like a secret.
    """
    if not isinstance(value, str):
        return value
    word = f"{key}={value}"
    if without_secrets(word) != word:
        raise UsageError(f"scenario.{key} looks like a secret, and every record would hold it; "
                         "have the training read it from a file")  # fmt: skip
    return portable_path(Path(value)) if Path(value).is_absolute() else value


def canonical(overrides: Sequence[str]) -> tuple[str, ...]:
    """What else was overridden of the training itself, in one order whatever was typed."""
    words = (word.lstrip("+") for word in overrides)
    return tuple(
        sorted(scrub(word) for word in words if word.startswith(("scenario.", "determinism.")))
    )


def source_of(name: str) -> str | None:
    """The file of a scenario of the user's own: beside its YAML, in a --config-dir's scenario/."""
    ours = (SCENARIOS / f"{name}.py").is_file()
    for source in HydraConfig.get().runtime.config_sources:
        folder = Path(source.path) / "scenario"
        if source.schema != "file" or folder.resolve() == (CONF / "scenario").resolve():
            continue
        if ours and any((folder / f"{name}{suffix}").is_file() for suffix in (".py", ".yaml")):
            raise UsageError(f"scenario '{name}' is both the harness's and in {folder}: "
                             "give yours another name")  # fmt: skip
        if (folder / f"{name}.py").is_file():
            return portable_path(folder / f"{name}.py")
    if ours:
        return None
    raise UsageError(
        f"scenario '{name}' has a YAML but no program: expected {name}.py in scenarios/ "
        "or beside the YAML in the scenario/ folder of a --config-dir"
    )


def request_of(found: Collected, config: DictConfig, words: Sequence[str]) -> Request:
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
        words=tuple(scrub(word) for word in words),
        claims=tuple(found.claims),
    )


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and overrides: argparse dies of ``a=1,2 -m b=2``."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in VALUE_FLAGS:
            flags.extend(value for value in [next(rest, None)] if value is not None)
    return flags, overrides


def take_cfg_job(flags: list[str]) -> bool:
    """Removes ``--cfg job``, which Hydra does not allow beside ``-m``; whether it was there."""
    for flag in ("--cfg", "-c"):
        if flag in flags and flags[flags.index(flag) + 1 :][:1] == ["job"]:
            at = flags.index(flag)
            del flags[at : at + 2]
            return True
    return False
