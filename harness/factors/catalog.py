"""All factors, and what those of a perturbed cell do to its runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from harness.core.errors import UsageError
from harness.core.spec import Cell
from harness.factors.address_layout import ADDRESS_LAYOUT
from harness.factors.affinity import AFFINITY
from harness.factors.clock import CLOCK
from harness.factors.compile_cache import COMPILE_CACHE
from harness.factors.delays import DELAYS
from harness.factors.directory_order import DIRECTORY_ORDER
from harness.factors.environment_size import ENVIRONMENT_SIZE
from harness.factors.evaluation_batch import EVALUATION_BATCH
from harness.factors.factor import Factor, Level, Start
from harness.factors.first_calls import FIRST_CALLS
from harness.factors.folder import FOLDER
from harness.factors.gpus import CUBLAS_WORKSPACE, KERNEL_CHOICE, VISIBLE_GPUS
from harness.factors.hash_seed import HASH_SEED
from harness.factors.heap import HEAP
from harness.factors.home import HOME
from harness.factors.host_name import HOST_NAME
from harness.factors.instruction_set import INSTRUCTION_SET
from harness.factors.load import LOAD
from harness.factors.loaders import LOADER_START, LOADER_WORKERS, PREFETCH
from harness.factors.locale import LOCALE
from harness.factors.memory import MEMORY
from harness.factors.openmp_schedule import OPENMP_SCHEDULE
from harness.factors.seeds import SEEDS
from harness.factors.thread_switches import THREAD_SWITCHES
from harness.factors.threads import THREADS
from harness.factors.time_zone import TIME_ZONE
from harness.factors.umask import UMASK
from harness.factors.wait_policy import WAIT_POLICY

FACTORS = {
    factor.name: factor
    for factor in (
        *SEEDS,
        THREADS,
        INSTRUCTION_SET,
        AFFINITY,
        WAIT_POLICY,
        OPENMP_SCHEDULE,
        THREAD_SWITCHES,
        LOAD,
        DELAYS,
        LOADER_WORKERS,
        LOADER_START,
        PREFETCH,
        EVALUATION_BATCH,
        HASH_SEED,
        DIRECTORY_ORDER,
        CLOCK,
        TIME_ZONE,
        LOCALE,
        UMASK,
        HOME,
        HOST_NAME,
        FOLDER,
        ENVIRONMENT_SIZE,
        ADDRESS_LAYOUT,
        MEMORY,
        HEAP,
        FIRST_CALLS,
        COMPILE_CACHE,
        VISIBLE_GPUS,
        CUBLAS_WORKSPACE,
        KERNEL_CHOICE,
    )
}

LISTS = ("LD_PRELOAD", "GLIBC_TUNABLES")  # variables that several factors may share, and a user
UNREADABLE = "cannot be read"


def levels_of(cell: Cell) -> list[Level]:
    """Return the levels that a perturbed cell names as FACTOR:LEVEL."""
    found = []
    for word in cell.perturbed or ():
        factor, _, name = word.partition(":")
        found += [level for level in FACTORS[factor].levels(cell) if level.name == name]
    return found


def perturb(cell: Cell, words: Collection[str]) -> Cell:
    """Return the cell with these FACTOR:LEVEL.

    Raises UsageError if there is no such factor or level, or if it cannot be varied here.
    """
    perturbed = replace(cell, perturbed=tuple(sorted(words)))
    for word in words:
        _check_known(cell, word)
    switches = {
        name: value for level in levels_of(perturbed) for name, value in level.switches.items()
    }
    return replace(perturbed, determinism=cell.determinism.with_switches(switches))


def _check_known(cell: Cell, word: str) -> None:
    name, _, level = word.partition(":")
    if name not in FACTORS:
        raise UsageError(f"unknown factor '{name}': allowed are {', '.join(FACTORS)}")
    if reason := FACTORS[name].missing(cell):
        raise UsageError(f"{name} cannot be varied here: {reason}")
    known = [one.name for one in FACTORS[name].levels(cell)]
    if level not in known:
        allowed = ", ".join(f"{name}:{one}" for one in known)
        raise UsageError(f"{word}: {name} has the levels {allowed}")


def started(cell: Cell, usual: Mapping[str, str], stack: ExitStack) -> Start:
    """Enter what lasts from the start of a run's process to its end.

    ``usual`` are the variables that the run has anyway.
    """
    starts = [stack.enter_context(level.start()) for level in levels_of(cell)]
    variables: dict[str, str] = {}
    for start in starts:
        for name, value in start.variables.items():
            before = variables.get(name, usual.get(name)) if name in LISTS else None
            variables[name] = f"{before}:{value}" if before else value
    return Start(tuple(word for start in starts for word in start.prefix), variables)


@contextmanager
def beside(cell: Cell) -> Iterator[None]:
    """What happens in the parent while a run trains."""
    with _all([level.beside() for level in levels_of(cell)]):
        yield


@contextmanager
def inside(cell: Cell) -> Iterator[None]:
    """What is different in the process of a run while it trains."""
    with _all([level.inside() for level in levels_of(cell)]):
        yield


@contextmanager
def _all(contexts: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def read_conditions() -> dict[str, str]:
    """Return what is in effect in this process, by factor."""
    return {name: _read(factor) for name, factor in FACTORS.items()}


def _read(factor: Factor) -> str:
    try:
        return factor.read()
    except (OSError, ValueError, LookupError, StopIteration, AttributeError):  # no such file
        return UNREADABLE
