"""Processes that a script starts by ``multiprocessing`` get its determinism setting too.

A forked child inherits the setting. Any other is a new interpreter, or the child of one, which
imports the script and would train with torch's defaults. It first unpickles what it needs to
prepare itself; the setting travels there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from typing import Any

from harness.core.patch import patched
from harness.core.spec import Determinism
from harness.core.spec_json import to_json
from harness.worker.script_backend.own_package import unload_harness
from harness.worker.torch_backend import settings


@contextmanager
def apply_in_children(setting: Determinism) -> Iterator[None]:
    """Apply the setting in every child that a script spawns, before it imports the script."""

    def prepared(original: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
        return lambda name: {**original(name), "determinism": _AppliedWhenLoaded(setting)}

    with patched(spawn, "get_preparation_data", prepared):
        yield


class _AppliedWhenLoaded:
    """Applies a setting in the process that unpickles it."""

    def __init__(self, setting: Determinism) -> None:
        self.setting = json.dumps(to_json(setting))

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _apply, (self.setting,)


def _apply(setting: str) -> None:
    settings.apply(Determinism.from_json(json.loads(setting)))
    unload_harness()  # the script may have a package of this name
