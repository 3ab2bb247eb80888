"""The values with which a study can run."""

from __future__ import annotations

import math
from typing import Any

from harness.core.errors import UsageError
from harness.core.spec import Algorithms, Cell, Determinism, Noise
from harness.study.request import Request

CAPABILITIES = ("default", "avx2", "avx512", "vsx", "zvector", "sve256")  # of ATEN_CPU_CAPABILITY
FRESH_MEMORY = ("zeros", "nan", "pattern")  # what uninitialized memory is filled with
ATTENTION = ("math", "flash", "efficient", "cudnn")  # backends of scaled_dot_product_attention
PRECISIONS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision


ENGINE_NAMES = ("local", "slurm", "ray")


def check_request(request: Request) -> None:
    """Raises UsageError for values that no study can run with."""
    minimums = {
        "runs.timing": (request.runs.timing, 0),
        "runs.repeats": (request.runs.repeats, 1),
        "timing.warmup": (request.timing.warmup, 0),
        "launch.ahead": (request.launch.ahead, 1),
        "diagnose.runs": (request.diagnose.runs, 2),
        "diagnose.tries": (request.diagnose.tries, 2),
        "diagnose.most": (request.diagnose.most, 2),
        "recipe.runs": (request.recipe.runs, 2),
        "recipe.confirm": (request.recipe.confirm, 2),
        "recipe.blocks": (request.recipe.blocks, 0),
        "perturb.runs": (request.perturb.runs, 2),
        "perturb.pairs": (request.perturb.pairs, 2),
        "perturb.most": (request.perturb.most, 2),
        "replay.step": (request.replay.step, 0),
        "launch.retries": (request.launch.retries, 0),
        "launch.spawned": (request.launch.spawned, 0),
        "runs.first": (request.runs.first, 2),
        "timing.first": (request.timing.first, 3),
    }
    for key, (value, minimum) in minimums.items():
        if value is not None and value < minimum:
            raise UsageError(f"{key}={value}: must be at least {minimum}")
    _ = request.diagnose.steps  # raises if the window is malformed
    for key, blocks in (
        ("runs.timing", request.runs.timing),
        ("recipe.blocks", request.recipe.blocks),
    ):
        if blocks == 1:
            raise UsageError(
                f"{key}=1: one block has no confidence interval; use at least 2, or 0 to "
                "measure no cost"
            )
    if not 0 <= request.timing.min_s < math.inf:
        raise UsageError(f"timing.min_s={request.timing.min_s}: must be a finite number, 0 or more")
    if not 0 < request.timing.precision < math.inf:
        raise UsageError(
            f"timing.precision={request.timing.precision}: must be a finite number above 0, such "
            "as 0.05 for ±5 %"
        )
    if request.study.budget_s is not None and not 0 < request.study.budget_s < math.inf:
        raise UsageError(
            f"study.budget_s={request.study.budget_s}: must be a finite number of seconds above "
            "0, such as 600, or null"
        )
    _check_launch(request)
    for requested in request.asked:
        _check_switches(requested.cell.determinism)
        _check_noise(requested.cell)
        _check_finite(requested.cell.scenario.options)


def _check_launch(request: Request) -> None:
    launch = request.launch
    limits = {"timeout_s": launch.timeout_s, "poll_s": launch.poll_s, "queue_s": launch.queue_s}
    for name, seconds in limits.items():
        if seconds is not None and not 0 < seconds < math.inf:
            raise UsageError(f"launch.{name}={seconds}: must be a finite number above 0")
    if launch.engine not in ENGINE_NAMES:
        raise UsageError(f"launch.engine={launch.engine}: must be one of {', '.join(ENGINE_NAMES)}")
    if launch.targets:
        raise UsageError(
            "launch.targets is for plain studies: give this command one target at a time, with "
            "launch.slurm.constraint or launch.ray.resources"
        )
    if launch.on_cluster and request.study.budget_s is not None:
        raise UsageError(
            "study.budget_s limits studies on this machine; on a cluster, omit it, or limit the "
            "jobs by launch.slurm.time"
        )


def _check_finite(options: dict[str, Any]) -> None:
    """Raises UsageError for infinities and NaN, which JSON records cannot hold."""
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"scenario.{key}={value}: must be a finite number")


def _check_switches(determinism: Determinism) -> None:
    """Raises UsageError for values that Python or torch would reject."""
    largest = 2**32 - 1  # for NumPy and PYTHONHASHSEED
    for name in ("seed", "python_hash_seed"):
        value = getattr(determinism, name)
        if value is not None and not 0 <= value <= largest:
            raise UsageError(f"determinism.{name}={value}: must be 0 to {largest}, or null")
    if determinism.threads is not None and determinism.threads < 1:
        raise UsageError(f"determinism.threads={determinism.threads}: must be at least 1, or null")
    choices = {
        "matmul_precision": PRECISIONS,
        "fresh_memory": FRESH_MEMORY,
        "cpu_capability": CAPABILITIES,
        "attention": ATTENTION,
    }
    for name, allowed in choices.items():
        value = getattr(determinism, name)
        if value not in (None, *allowed):
            raise UsageError(
                f"determinism.{name}={value}: must be one of {', '.join(allowed)}, or null"
            )


def _check_noise(cell: Cell) -> None:
    """Raises UsageError if the setting contradicts what the noise holds fixed or varies."""
    noise, determinism = cell.noise, cell.determinism
    if noise is Noise.none:
        return
    if noise in (Noise.bit_flip, Noise.tiny) and cell.scenario.framework != "torch":
        raise UsageError(f"noise={noise} supports torch scenarios only")
    if determinism.seed is None:
        raise UsageError(
            f"noise={noise} needs a seed, and determinism={cell.setting} sets none; "
            "omit determinism="
        )
    is_deterministic = determinism.algorithms is Algorithms.require
    if is_deterministic != noise.holds_kernels:
        kernels = "deterministic" if noise.holds_kernels else "torch's default"
        raise UsageError(
            f"noise={noise} requires {kernels} kernels, and determinism={cell.setting} does not "
            "select them; omit determinism="
        )
