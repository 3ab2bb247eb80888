"""The batch size of what is loaded without gradients: an evaluation should not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from harness.core.patch import patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded
from harness.factors.loaders import no_loader

changed: list[int] = []  # batch sizes given in place of others


@contextmanager
def _size(resize: Callable[[int], int]) -> Iterator[None]:
    """Give each pass over a DataLoader that starts without gradients another batch size.

    Its length and batch_size follow, and stay until the next pass: a program divides by them.
    """
    data, torch = loaded("torch.utils.data"), loaded("torch")
    usual: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()  # by DataLoader

    def restore(loader: Any) -> None:
        # The loader itself refuses another sampler after it was built.
        loader.__dict__.update(usual.pop(loader, {}))

    def with_size(iterate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def resized(loader: Any) -> Any:
            restore(loader)
            own = loader.batch_sampler
            is_shared = loader.persistent_workers  # one iterator for all passes
            if torch.is_grad_enabled() or is_shared or type(own) is not data.BatchSampler:
                return iterate(loader)
            size = resize(own.batch_size)
            if size != own.batch_size:
                changed.append(size)
                usual[loader] = {"batch_sampler": own, "batch_size": loader.batch_size}
                other = data.BatchSampler(own.sampler, size, own.drop_last)
                loader.__dict__.update(batch_sampler=other, batch_size=size)
            return iterate(loader)

        return resized

    with patched(data.DataLoader, "__iter__", with_size):
        yield
    for loader in [*usual]:
        restore(loader)


def _levels(_: Cell) -> list[Level]:
    return [
        Level("half", "evaluation batches of half the size", inside=lambda: _size(_half)),
        Level("double", "evaluation batches of twice the size", inside=lambda: _size(_double)),
    ]


def _half(size: int) -> int:
    return max(1, size // 2)


def _double(size: int) -> int:
    return 2 * size


def _read() -> str:
    return " ".join(map(str, changed)) or "no pass over a DataLoader without gradients"


EVALUATION_BATCH = Factor(
    "evaluation_batch", "evaluation batch size", Group.data, _levels, _read, no_loader
)
