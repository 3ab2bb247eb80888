"""Another seed for each source of random numbers, whoever sets it: the setting or the program.

A training should depend on its seeds. Each is raised by SHIFT when it is set, so that what a
program derives from it changes too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

from harness.core.patch import attribute, patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded, without_torch

SHIFT = 1_000_003
LARGEST = 2**32  # of a seed of NumPy, the smallest range of the three
NAMES = ("a", "seed", "entropy")  # of the parameter, in Python, NumPy and torch
NONE_SET = "no such seed is set"
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
    "tensorflow": [("tensorflow.random", "set_seed")],  # which Keras calls too
    "generators": [("numpy.random", "default_rng")],
}
# Classes of generators that a program makes, by module, and their methods that take a seed.
CLASSES = [
    ("torch", "Generator", ["manual_seed"]),
    ("random", "Random", ["seed"]),
    ("numpy.random", "RandomState", ["__init__", "seed"]),
    *(
        ("numpy.random", name, ["__init__"])
        for name in ("SeedSequence", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
    ),
]


def _shift(source: str, seed: Any) -> Any:
    """None stays, as it asks for a random seed.

    Of several numbers that make one seed, the first is shifted.
    """
    other = _other(seed)
    if other is not seed:
        shifted[source] = shifted.get(source, 0) + 1
    return other


def _other(seed: Any) -> Any:
    numpy, other = loaded("numpy"), seed
    if isinstance(seed, Integral):
        other = (int(seed) + SHIFT) % LARGEST
    elif isinstance(seed, float):
        other = seed + SHIFT
    elif isinstance(seed, str):
        other = f"{seed} {SHIFT}"
    elif isinstance(seed, bytes | bytearray):
        other = seed + b"%d" % SHIFT
    elif isinstance(seed, list | tuple) and seed:
        other = type(seed)([_other(seed[0]), *seed[1:]])
    elif numpy and isinstance(seed, numpy.ndarray) and seed.size:
        other = seed.copy()
        other.flat[0] ^= 1  # which any type of integer can hold
    return other


def _seeding(source: str, place: int = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``place`` of the seed among the arguments."""

    def replace(function: Callable[..., Any]) -> Callable[..., Any]:
        def seed(*args: Any, **options: Any) -> Any:
            if len(args) > place:
                args = (*args[:place], _shift(source, args[place]), *args[place + 1 :])
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
        for module, name, methods in CLASSES if source == "generators" else ():
            if owner := loaded(module):
                other = _other_class(getattr(owner, name), methods)
                stack.enter_context(attribute(owner, name, other))
        yield


def _other_class(original: Any, methods: Sequence[str]) -> Any:
    """A class of generators whose methods get another seed as their first argument.

    Objects of the original class seem to be its instances, and its own are pickled as theirs.
    """

    def reduce(generator: Any) -> tuple[Any, ...]:
        function, args, *state = original.__reduce__(generator)
        found = getattr(sys.modules[original.__module__], original.__name__)  # as pickle does
        parts = [found if one is replaced else one for one in (function, *args)]
        return (parts[0], tuple(parts[1:]), *state)

    kind = type(
        "GeneratorType",
        (type(original),),
        {
            "__instancecheck__": lambda cls, one: (
                type.__instancecheck__(cls, one) or (cls is replaced and isinstance(one, original))
            ),
            "__subclasscheck__": lambda cls, one: (
                type.__subclasscheck__(cls, one) or (cls is replaced and issubclass(one, original))
            ),
        },
    )
    names = {name: _seeding("generators", 1)(getattr(original, name)) for name in methods}
    names |= {"__module__": original.__module__, "__reduce__": reduce}
    replaced: Any = kind(original.__name__, (original,), names)
    return replaced


def _without_tensorflow(cell: Cell) -> str:
    return "" if cell.scenario.framework == "keras" else "the training does not use TensorFlow"


def _factor(source: str, title: str, missing: Callable[[Cell], str] = lambda _: "") -> Factor:
    def levels(_: Cell) -> list[Level]:
        return [Level("other", f"a different {title}", inside=lambda: _other_seeds(source))]

    def read() -> str:
        number = shifted.get(source, 0)
        return f"{number} seeds changed" if number else NONE_SET

    return Factor(f"seed_{source}", title, Group.seeds, levels, read, missing)


SEEDS = (
    _factor("python", "Python seed"),
    _factor("numpy", "NumPy seed"),
    _factor("torch", "torch seed", without_torch),
    _factor("tensorflow", "TensorFlow seed", _without_tensorflow),
    _factor("generators", "seed of the program's own generators"),
)
