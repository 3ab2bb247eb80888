"""A set of switches as code: what sets them in Python, a shell, Hydra, Lightning and Accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.spec import Determinism
from harness.core.switches import SEEDS, settings_of

LOADER = ("loader.generator", "loader.worker_init")
STATEMENTS = {
    "seeds.python": "random.seed({})",
    "seeds.numpy": "numpy.random.seed({})",
    "seeds.torch": "torch.manual_seed({})",
    "vector_math_warm_up": (
        "torch.ones(1).exp()  # before two threads can make the first vector-math call"
    ),
    "cudnn.deterministic": "torch.backends.cudnn.deterministic = {}",
    "cudnn.benchmark": "torch.backends.cudnn.benchmark = {}",
    "cudnn.enabled": "torch.backends.cudnn.enabled = {}",
    "fill_uninitialized_memory": "torch.utils.deterministic.fill_uninitialized_memory = {}",
    "tf32": "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = {}",
    "matmul_precision": "torch.set_float32_matmul_precision({!r})",
    "threads": "torch.set_num_threads({})",
}
MODULES = {"seeds.python": "random", "seeds.numpy": "numpy"}
IN_TRAINER = ("algorithms", "cudnn.benchmark")
ALL_SEEDS = "  # of Python, NumPy and torch"
# What harness/worker/torch_backend/deterministic_operations.py does, for torch 2.9 and later.
ONLY_DURING = """\
import warnings
import torch

def deterministic_only_during(operation, device="CPU"):  # or "CUDA"
    kernel = torch.library.get_kernel(operation, device)

    def deterministic(keys, *args, **kwargs):
        mode = torch.get_deterministic_debug_mode()
        torch.use_deterministic_algorithms(True)
        try:
            return kernel.call_boxed(keys, *args, **kwargs)
        finally:
            torch.set_deterministic_debug_mode(mode)

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():  # torch warns that a kernel is replaced
        warnings.simplefilter("ignore")
        library.impl(operation, deterministic, device, with_keyset=True)
    return library

def forms(name):  # torch's backward passes call one or another
    packet, _, overload = name.partition(".")
    for each in (packet, f"{{packet}}_", f"_{{packet}}_impl_"):
        if operation := getattr(getattr(torch.ops.aten, each, None), overload or "default", None):
            yield operation

# A wrapped operation is itself again when its library is deleted, so keep this list.
wrapped = [deterministic_only_during(form) for name in {names} for form in forms(name)]"""


def snippets(switches: Mapping[str, Any], operations: str | None = None) -> dict[str, str]:
    """Return code by what it is for; ``switches`` are values by dotted name.

    ``operations``, joined by "+", are those that alone need deterministic algorithms.
    """
    setting = settings_of(switches)
    environment = Determinism().with_switches(setting).environment()
    variables = [f"export {name}={value}" for name, value in environment.items()]
    texts = {
        "shell, before Python starts": variables,
        "Python, before the model is built": [*_python(switches)],
        "Python, deterministic algorithms for these operations only": [*_only_during(operations)],
        "Hydra, as conf/determinism/recipe.yaml of this harness": [*_yaml(setting)],
        "Lightning": [*_lightning(switches)],
        "Accelerate": [*_accelerate(switches)],
    }
    return {name: "\n".join(lines) for name, lines in texts.items() if lines}


def _python(switches: Mapping[str, Any]) -> Iterator[str]:
    modules = [module for name, module in MODULES.items() if name in switches]
    if switches.get("loader.worker_init"):
        modules = [*MODULES.values()]
    yield f"import {', '.join([*modules, 'torch'])}"
    yield from _torch(switches)
    yield from _loader(switches)


def _loader(switches: Mapping[str, Any]) -> Iterator[str]:
    generator = f"generator=torch.Generator().manual_seed({_seed(switches)})"
    own = [generator] * bool(switches.get("loader.generator"))
    if switches.get("loader.worker_init"):
        yield "def seed_worker(_):"
        yield "    seed = torch.initial_seed() % 2**32"
        yield "    numpy.random.seed(seed); random.seed(seed)"
        own += ["worker_init_fn=seed_worker"]
    if own:
        yield f"loader = torch.utils.data.DataLoader(dataset, {', '.join(own)})"


def _seed(switches: Mapping[str, Any]) -> int:
    return next((switches[name] for name in SEEDS if name in switches), 0)


def _torch(switches: Mapping[str, Any]) -> Iterator[str]:
    """The statements, in the order of the switches."""
    for name, value in switches.items():
        if name == "algorithms":
            warn = ", warn_only=True" if value == "warn" else ""
            yield f"torch.use_deterministic_algorithms(True{warn})"
        elif name == "attention":
            for backend in ("math", "flash", "mem_efficient", "cudnn"):
                yield f"torch.backends.cuda.enable_{backend}_sdp({value in backend})"
        elif name == "deterministic_operations":
            yield from _only_during(value)
        elif name in STATEMENTS:
            yield STATEMENTS[name].format(value)


def _only_during(operations: str | None) -> Iterator[str]:
    if operations:
        yield ONLY_DURING.format(names=operations.split("+"))


def _yaml(switches: Mapping[str, Any]) -> Iterator[str]:
    nested: dict[str, Any] = {}
    for name, value in switches.items():
        group, _, key = name.partition(".")
        if key:
            nested.setdefault(group, {})[key] = value
        else:
            nested[name] = value
    for name, value in nested.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{key}: {_scalar(each)}" for key, each in value.items())
            yield f"{name}: {{{inner}}}"
        else:
            yield f"{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and ":" in value else str(value)


def _lightning(switches: Mapping[str, Any]) -> Iterator[str]:
    is_seeded = any(name in switches for name in SEEDS)
    others = _but(switches, *SEEDS, *IN_TRAINER, *["loader.worker_init"] * is_seeded)
    yield from _imports("lightning", others)
    if is_seeded:
        workers = bool(switches.get("loader.worker_init"))
        yield f"lightning.seed_everything({_seed(switches)}, workers={workers}){ALL_SEEDS}"
    options = []
    if "algorithms" in switches:
        options.append(
            "deterministic=True" if switches["algorithms"] == "require" else 'deterministic="warn"'
        )
    if "cudnn.benchmark" in switches:
        options.append(f"benchmark={switches['cudnn.benchmark']}")
    if options:
        yield f"trainer = lightning.Trainer({', '.join(options)})"
    yield from _torch(others)
    yield from _loader(others)


def _accelerate(switches: Mapping[str, Any]) -> Iterator[str]:
    if not any(name in switches for name in SEEDS):
        yield from _python(switches)
        return
    deterministic = switches.get("algorithms") == "require"
    others = _but(switches, *SEEDS, *["algorithms"] * deterministic)
    yield from _imports("accelerate.utils", others)
    also = f", deterministic={deterministic}" * deterministic
    yield f"accelerate.utils.set_seed({_seed(switches)}{also}){ALL_SEEDS}"
    yield from _torch(others)
    yield from _loader(others)


def _imports(library: str, others: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the library's own call and statements for other switches need."""
    modules = ["numpy", "random"] * bool(others.get("loader.worker_init"))
    modules += ["torch"] * bool([*_torch(others), *_loader(others)])
    yield f"import {', '.join([library, *modules])}"


def _but(switches: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in switches.items() if name not in names}
