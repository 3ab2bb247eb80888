"""Another seed for each source of random numbers, whoever sets it: the setting or the program.

A training should depend on its seeds. Each is raised by SHIFT when it is set, so that what a
program derives from it changes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from numbers import Integral
from typing import Any

from harness.core.patch import patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, attribute, loaded

SHIFT = 1_000_003
LARGEST = 2**32  # of a seed of NumPy, the smallest range of the three
NAMES = ("a", "seed")  # of the parameter, in Python, NumPy and torch
shifted: dict[str, int] = {}  # how many seeds of a source were changed

# Functions that seed a source, by module. Those of torch.cuda are called after torch.manual_seed.
FUNCTIONS = {
    "python": [("random", "seed")],
    "numpy": [("numpy.random", "seed")],
    "torch": [
        ("torch", "manual_seed"),
        ("torch.random", "manual_seed"),
        ("torch.cuda", "manual_seed"),
        ("torch.cuda", "manual_seed_all"),
    ],
    "generators": [("numpy.random", "default_rng")],
}


def _shift(source: str, seed: Any) -> Any:
    """Only numbers: None asks for a random seed, and a state or a text has no next one."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        return seed
    shifted[source] = shifted.get(source, 0) + 1
    return (int(seed) + SHIFT) % LARGEST


def _seeding(source: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def replace(function: Callable[..., Any]) -> Callable[..., Any]:
        def seed(*args: Any, **options: Any) -> Any:
            if args:
                args = (_shift(source, args[0]), *args[1:])
            given = {name: _shift(source, options[name]) for name in NAMES if name in options}
            return function(*args, **{**options, **given})

        return seed

    return replace


@contextmanager
def _other_seeds(source: str) -> Iterator[None]:
    with ExitStack() as stack:
        for module, name in FUNCTIONS[source]:
            if owner := loaded(module):
                stack.enter_context(patched(owner, name, _seeding(source)))
        if source == "generators":
            stack.enter_context(_other_generators())
        yield


def _other_generators() -> AbstractContextManager[None]:
    """Replace the class, which torch's own generators must still seem to be instances of."""
    torch = loaded("torch")
    original = torch.Generator
    kind = type(
        "GeneratorType",
        (type(original),),
        {
            "__instancecheck__": lambda _, instance: isinstance(instance, original),
            "__subclasscheck__": lambda _, other: issubclass(other, original),
        },
    )

    def manual_seed(generator: Any, seed: Any) -> Any:
        return original.manual_seed(generator, _shift("generators", seed))

    def reduce(generator: Any) -> tuple[Any, ...]:
        kind, *state = original.__reduce__(generator)  # or it could not be pickled
        return (original if isinstance(kind, type) else kind, *state)

    names = {"__module__": original.__module__, "manual_seed": manual_seed, "__reduce__": reduce}
    return attribute(torch, "Generator", kind(original.__name__, (original,), names))


def _factor(source: str, title: str) -> Factor:
    def levels(_: Cell) -> list[Level]:
        return [Level("other", f"a different {title}", inside=lambda: _other_seeds(source))]

    def read() -> str:
        return f"{shifted.get(source, 0)} seeds changed"

    return Factor(f"seed_{source}", title, Group.seeds, levels, read)


SEEDS = (
    _factor("python", "Python seed"),
    _factor("numpy", "NumPy seed"),
    _factor("torch", "torch seed"),
    _factor("generators", "seed of the program's own generators"),
)
