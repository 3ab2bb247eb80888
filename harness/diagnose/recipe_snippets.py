"""A set of switches as code: what sets them in Python, a shell, Hydra, Lightning and Accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.spec import Determinism

LOADER = ("loader.generator", "loader.worker_init")
STATEMENTS = {
    "cudnn.deterministic": "torch.backends.cudnn.deterministic = {}",
    "cudnn.benchmark": "torch.backends.cudnn.benchmark = {}",
    "cudnn.enabled": "torch.backends.cudnn.enabled = {}",
    "fill_uninitialized_memory": "torch.utils.deterministic.fill_uninitialized_memory = {}",
    "tf32": "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = {}",
    "matmul_precision": "torch.set_float32_matmul_precision({!r})",
    "threads": "torch.set_num_threads({})",
}


def snippets(switches: Mapping[str, Any]) -> dict[str, str]:
    """Return code by what it is for; ``switches`` are values by dotted name."""
    environment = Determinism().with_switches(switches).environment()
    variables = [f"export {name}={value}" for name, value in environment.items()]
    texts = {
        "shell, before Python starts": variables,
        "Python, before the model is built": [*_python(switches)],
        "Hydra, as conf/determinism/recipe.yaml of this harness": [*_yaml(switches)],
        "Lightning": [*_lightning(switches)],
        "Accelerate": [*_accelerate(switches)],
    }
    return {name: "\n".join(lines) for name, lines in texts.items() if lines}


def _python(switches: Mapping[str, Any]) -> Iterator[str]:
    if "seed" in switches:
        seed = switches["seed"]
        yield "import random, numpy, torch"
        yield f"random.seed({seed}); numpy.random.seed({seed}); torch.manual_seed({seed})"
    else:
        yield "import torch"
    yield from _torch(switches)
    if any(switches.get(name) for name in LOADER):
        generator = "generator=torch.Generator().manual_seed(" + str(switches.get("seed", 0)) + ")"
        own = [generator] * bool(switches.get("loader.generator"))
        own += ["worker_init_fn=seed_worker"] * bool(switches.get("loader.worker_init"))
        if switches.get("loader.worker_init"):
            yield "def seed_worker(_):"
            yield "    seed = torch.initial_seed() % 2**32"
            yield "    numpy.random.seed(seed); random.seed(seed)"
        yield f"loader = torch.utils.data.DataLoader(dataset, {', '.join(own)})"


def _torch(switches: Mapping[str, Any]) -> Iterator[str]:
    """The statements that no trainer has an option for."""
    if switches.get("vector_math_warm_up"):
        yield "torch.ones(1).exp()  # before two threads can make the first vector-math call"
    algorithms = switches.get("algorithms")
    if algorithms in ("require", "warn"):
        warn = ", warn_only=True" if algorithms == "warn" else ""
        yield f"torch.use_deterministic_algorithms(True{warn})"
    for name, statement in STATEMENTS.items():
        if name in switches:
            yield statement.format(switches[name])


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
    if "seed" in switches:
        workers = bool(switches.get("loader.worker_init"))
        yield f"lightning.seed_everything({switches['seed']}, workers={workers})"
    options = []
    if "algorithms" in switches:
        options.append(
            "deterministic=True" if switches["algorithms"] == "require" else 'deterministic="warn"'
        )
    if "cudnn.benchmark" in switches:
        options.append(f"benchmark={switches['cudnn.benchmark']}")
    if options:
        yield f"trainer = lightning.Trainer({', '.join(options)})"
    yield from _torch({name: switches[name] for name in switches if name not in IN_TRAINER})


IN_TRAINER = ("algorithms", "cudnn.benchmark")


def _accelerate(switches: Mapping[str, Any]) -> Iterator[str]:
    if "seed" in switches:
        deterministic = switches.get("algorithms") == "require"
        yield f"accelerate.utils.set_seed({switches['seed']}, deterministic={deterministic})"
    yield from _torch({name: switches[name] for name in switches if name != "algorithms"})
