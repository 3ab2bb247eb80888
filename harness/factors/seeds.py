"""Another seed for each source of random numbers, whoever sets it: the setting or the program.

A training should depend on its seeds. Each is raised by SHIFT when it is set, so that what a
program derives from it changes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.core.patch import patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, attribute, loaded

SHIFT = 1_000_003
LARGEST = 2**32  # of a seed of NumPy, the smallest range of the three
shifted: dict[str, int] = {}  # how many seeds of a source were changed


def _shift(source: str, seed: Any) -> Any:
    """Only numbers: None asks for a random seed, and a state or a text has no next one."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        return seed
    shifted[source] = shifted.get(source, 0) + 1
    return (seed + SHIFT) % LARGEST


def _first_argument(source: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def replace(function: Callable[..., Any]) -> Callable[..., Any]:
        def seeded(*args: Any, **options: Any) -> Any:
            if args:
                args = (_shift(source, args[0]), *args[1:])
            else:
                options = {name: _shift(source, value) for name, value in options.items()}
            return function(*args, **options)

        return seeded

    return replace


def _changes(source: str, *functions: tuple[str, str]) -> Callable[[], Any]:
    @contextmanager
    def inside() -> Iterator[None]:
        with ExitStack() as stack:
            for module, name in functions:
                if owner := loaded(module):
                    stack.enter_context(patched(owner, name, _first_argument(source)))
            yield

    return inside


@contextmanager
def _own_generators() -> Iterator[None]:
    """Generators that a program makes itself, as for a DataLoader."""
    torch = loaded("torch")
    source = "generators"

    class Generator(torch.Generator):  # type: ignore[name-defined,misc]
        def manual_seed(self, seed: Any) -> Any:
            return super().manual_seed(_shift(source, seed))

    with (
        attribute(torch, "Generator", Generator),
        _changes(source, ("numpy.random", "default_rng"), ("numpy.random", "RandomState"))(),
    ):
        yield


def _factor(source: str, title: str, inside: Callable[[], Any]) -> Factor:
    def levels(_: Cell) -> list[Level]:
        return [Level("other", f"another {title}", inside=inside)]

    def read() -> str:
        return f"{shifted.get(source, 0)} seeds changed"

    return Factor(f"seed_{source}", title, Group.seeds, levels, read)


SEEDS = (
    _factor("python", "seed of Python", _changes("python", ("random", "seed"))),
    _factor("numpy", "seed of NumPy", _changes("numpy", ("numpy.random", "seed"))),
    _factor(
        "torch",
        "seed of torch",
        _changes("torch", ("torch", "manual_seed"), ("torch.random", "manual_seed")),
    ),
    _factor("generators", "seed of the program's own generators", _own_generators),
)
