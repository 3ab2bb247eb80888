"""How torch's DataLoaders make batches: processes, how they start, and how far they read ahead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.core.patch import patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded

Options = dict[str, Any]
FIELDS = ("num_workers", "multiprocessing_context", "prefetch_factor")
changed: dict[str, list[Any]] = {name: [] for name in FIELDS}  # values given in place of others


@contextmanager
def _given(name: str, change: Callable[[Options], None]) -> Iterator[None]:
    """Give each DataLoader that is built other options, and note those that differ."""
    data = loaded("torch.utils.data")
    usual = {
        "num_workers": 0,
        "multiprocessing_context": loaded("torch.multiprocessing").get_start_method(),
        "prefetch_factor": 2,
    }

    def with_options(build: Callable[..., None]) -> Callable[..., None]:
        names = [*inspect.signature(build).parameters][2:]  # without the loader and its data set

        def build_changed(loader: Any, dataset: Any, *args: Any, **options: Any) -> None:
            options |= dict(zip(names, args, strict=False))
            before = options.get(name) or usual[name]
            change(options)
            after = options.get(name) or usual[name]
            if after != before:
                changed[name].append(after)
            build(loader, dataset, **options)

        return build_changed

    with patched(data.DataLoader, "__init__", with_options):
        yield


def _workers(number: int) -> Callable[[Options], None]:
    def change(options: Options) -> None:
        options["num_workers"] = number
        if not number:  # refused without workers
            for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context"):
                options.pop(name, None)
            options.pop("timeout", None)

    return change


def _only_with_workers(name: str, value: Any) -> Callable[[Options], None]:
    def change(options: Options) -> None:
        if options.get("num_workers"):
            options[name] = value

    return change


def _level(name: str, what: str, field: str, change: Callable[[Options], None]) -> Level:
    return Level(name, what, inside=lambda: _given(field, change))


def _reader(field: str) -> Callable[[], str]:
    return lambda: " ".join(map(str, changed[field])) or "no DataLoader that would change"


def _worker_levels(_: Cell) -> list[Level]:
    return [
        _level("2", "2 DataLoader workers", "num_workers", _workers(2)),
        _level("0", "no DataLoader workers", "num_workers", _workers(0)),
        _level("1", "1 DataLoader worker", "num_workers", _workers(1)),
    ]


def _start_levels(_: Cell) -> list[Level]:
    field = "multiprocessing_context"
    return [
        _level(
            method,
            f"DataLoader workers started by {method}",
            field,
            _only_with_workers(field, method),
        )
        for method in ("spawn", "forkserver")
    ]


def _prefetch_levels(_: Cell) -> list[Level]:
    field = "prefetch_factor"
    return [
        _level(str(number), f"prefetch_factor {number}", field, _only_with_workers(field, number))
        for number in (1, 5)
    ]


def no_loader(cell: Cell) -> str:
    """Why a factor of DataLoaders cannot be varied, or ""."""
    is_known = cell.scenario.framework != "script"
    has_none = is_known and not cell.scenario.uses_loader
    return "this training has no DataLoader" if has_none else ""


LOADER_WORKERS = Factor(
    "loader_workers",
    "DataLoader workers",
    Group.alone,  # without any, nothing is loaded ahead
    _worker_levels,
    _reader("num_workers"),
    no_loader,
)
LOADER_START = Factor(
    "loader_start",
    "DataLoader start method",
    Group.data,
    _start_levels,
    _reader("multiprocessing_context"),
    no_loader,
)
PREFETCH = Factor(
    "prefetch",
    "prefetched batches",
    Group.data,
    _prefetch_levels,
    _reader("prefetch_factor"),
    no_loader,
)
