"""Applies a determinism setting and reads back what is in effect."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.core.spec import Algorithms, Cudnn, Determinism
from harness.scenario import Context
from harness.worker.torch_backend.deterministic_operations import require_during
from harness.worker.torch_backend.memory_fill import fill_new_memory
from harness.worker.torch_backend.warmup import reseed

# As the interpreter started with it: a program may set the variable later, without effect.
HASH_SEED = os.environ.get("PYTHONHASHSEED")
# Whether a backend of attention is allowed, and the function that allows or forbids it.
ATTENTION: dict[str, tuple[Callable[[], bool], Callable[[bool], None]]] = {
    "math": (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    "flash": (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "efficient": (
        torch.backends.cuda.mem_efficient_sdp_enabled,
        torch.backends.cuda.enable_mem_efficient_sdp,
    ),
    "cudnn": (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
}
memory: Any = torch.utils.deterministic  # a module with properties that the type stubs lack


def remember() -> Callable[[], None]:
    """Return a function that puts this process's switches back to what they are now.

    ``apply`` sets only what a setting requests, so a process that applies several settings one
    after the other has to undo each. Generators get a new random state, as in a new process.
    """
    switch_back = _remember_switches(Determinism())

    def restore() -> None:
        switch_back()
        random.seed()
        reseed()
        if torch.cuda.is_initialized():
            torch.cuda.seed_all()

    return restore


def suspend(setting: Determinism) -> Callable[[], None]:
    """Return a function that puts back this process's switches and the state of its generators.

    ``setting`` is the one in effect, so that a training can go on after one with another setting.
    """
    switch_back = _remember_switches(setting)
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def resume() -> None:
        switch_back()
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)

    return resume


def _remember_switches(setting: Determinism) -> Callable[[], None]:
    """Remember what can be read; what fills memory and wraps kernels is that of the setting."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = Determinism(
        cudnn=Cudnn(cudnn.enabled, cudnn.deterministic, cudnn.benchmark),
        algorithms=_effective_algorithms(),
        fill_uninitialized_memory=memory.fill_uninitialized_memory,
        fresh_memory=setting.fresh_memory,
        deterministic_operations=setting.deterministic_operations,
    )
    precision, tf32 = _effective_matmul_precision(), _read_tf32()
    attention = _allowed_attention()

    def switch_back() -> None:
        apply(before)
        if precision is not None and precision != _effective_matmul_precision():
            torch.set_float32_matmul_precision(precision)
        if tf32 is not None and tf32 != _read_tf32():
            matmul.allow_tf32, cudnn.allow_tf32 = tf32
        _allow_attention(attention)

    return switch_back


def _read_tf32() -> tuple[bool, bool] | None:
    """The flags of matrix products and cuDNN; None if a program has used torch's newer ones."""
    try:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def apply(setting: Determinism) -> None:
    """Set the requested switches and nothing else; the setting ``none`` touches no generator.

    The parent sets PYTHONHASHSEED, CUBLAS_WORKSPACE_CONFIG and OMP_NUM_THREADS: set here, after the
    start of the interpreter, they would change only the label.
    """
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    _apply_cudnn(setting)
    # The call alone imports torch's compiler, so it is skipped if it would change nothing.
    if setting.algorithms is not _effective_algorithms():
        torch.use_deterministic_algorithms(
            setting.algorithms is not Algorithms.allow,
            warn_only=setting.algorithms is Algorithms.warn,
        )
    if setting.fill_uninitialized_memory is not None:
        memory.fill_uninitialized_memory = setting.fill_uninitialized_memory
    if setting.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = setting.tf32
        torch.backends.cudnn.allow_tf32 = setting.tf32
    if setting.matmul_precision is not None:
        torch.set_float32_matmul_precision(setting.matmul_precision)
    if setting.attention is not None:
        _allow_attention({setting.attention})
    require_during(setting.deterministic_operations)
    fill_new_memory(setting.fresh_memory)
    if setting.vector_math_warm_up:  # two threads must not be the first: docs/findings
        torch.ones(1).exp()
    if setting.seed is not None:  # last, so that nothing above draws after it
        if setting.seeds.python:
            random.seed(setting.seed)
        if setting.seeds.numpy:
            np.random.seed(setting.seed)
        if setting.seeds.torch:
            torch.manual_seed(setting.seed)  # also seeds every device


def _apply_cudnn(setting: Determinism) -> None:
    flags = torch.backends.cudnn
    for name in ("enabled", "deterministic", "benchmark"):
        value = getattr(setting.cudnn, name)
        if value is not None:
            setattr(flags, name, value)


def _allowed_attention() -> set[str]:
    return {name for name, (is_enabled, _) in ATTENTION.items() if is_enabled()}


def _allow_attention(backends: Collection[str]) -> None:
    for name, (is_enabled, enable) in ATTENTION.items():
        if is_enabled() != (name in backends):
            enable(name in backends)


def effective_settings() -> dict[str, Any]:
    """Return the values in effect, keyed by the dotted field names of Determinism."""
    flags = torch.backends.cudnn
    return {
        "seed": torch.initial_seed(),
        "python_hash_seed": int(HASH_SEED) if HASH_SEED and HASH_SEED.isdigit() else None,
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "cudnn.enabled": flags.enabled,
        "cudnn.deterministic": flags.deterministic,
        "cudnn.benchmark": flags.benchmark,
        "algorithms": str(_effective_algorithms()),
        "fill_uninitialized_memory": memory.fill_uninitialized_memory,
        "threads": torch.get_num_threads(),
        "tf32": _effective_tf32(),
        "matmul_precision": _effective_matmul_precision(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability().lower(),
        "attention": "+".join(sorted(_allowed_attention())),
    }


def _effective_tf32() -> bool:
    """Torch refuses to read the older flag once a program has used the newer one."""
    try:
        return bool(torch.backends.cuda.matmul.allow_tf32)
    except RuntimeError:
        return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


def _effective_matmul_precision() -> str | None:
    """None if the program has chosen precisions that the older interface cannot express."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _effective_algorithms() -> Algorithms:
    if not torch.are_deterministic_algorithms_enabled():
        return Algorithms.allow
    is_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return Algorithms.warn if is_warn_only else Algorithms.require


def build_context(
    setting: Determinism, device: torch.device, in_child: Callable[[], None] | None = None
) -> Context:
    """Return a scenario's device, DataLoader seeding and set-up of the processes that it starts.

    Those processes call ``in_child``, which must apply the setting; the default does only that.
    """

    def seeded_generator() -> torch.Generator | None:
        seed = setting.seed or 0
        return torch.Generator().manual_seed(seed) if setting.loader.generator else None

    return Context(
        device=device,
        loader_generator=seeded_generator,
        worker_init=_seed_loader_worker if setting.loader.worker_init else None,
        in_child=in_child or partial(apply, setting),
    )


def _seed_loader_worker(worker: int) -> None:  # noqa: ARG001 - the signature is the DataLoader's
    """Seed Python and NumPy from the worker's torch seed, as PyTorch's reproducibility notes do."""
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
