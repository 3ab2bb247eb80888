"""Variables that a script sets before it imports torch or NumPy, such as OMP_NUM_THREADS.

These libraries read them once, when they are loaded, and a worker has loaded them before the script
starts. So at the first import after such a variable was set, the worker is replaced by a new one
that starts with it and runs the script again.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.core.errors import ProcessReplaced
from harness.core.patch import patched

LIBRARIES = ("torch", "numpy")
# Of the variables that these libraries, their thread pools and their kernels read when loaded.
PREFIXES = (
    "ATEN_",
    "BLIS_",
    "CUBLAS_",
    "CUDA_",
    "CUDNN_",
    "DNNL_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTORCH_",
    "TORCH",
    "TRITON_",
)
# Set for the new worker: the variables' values before the script, as JSON. The script must find
# them unchanged, and is restarted only once, since it may choose another value at every start.
RESTARTED = "HARNESS_VARIABLES_BEFORE"


@contextmanager
def honor_early_variables() -> Iterator[None]:
    """In this context, an import raises ProcessReplaced if the script has set such a variable.

    Only imports by the script and what it imports count, until torch is imported, and only once.
    """
    if values := os.environ.pop(RESTARTED, None):
        for name in _relevant():
            del os.environ[name]
        os.environ.update(json.loads(values))
        yield
        return
    process, before = os.getpid(), _relevant()
    pending = set(LIBRARIES)

    def check(name: str) -> None:
        library = name.partition(".")[0]
        if library not in pending or os.getpid() != process:
            return
        pending.discard(library)
        if library == "torch":
            pending.clear()
        if _relevant() != before:
            raise ProcessReplaced(None, {**os.environ, RESTARTED: json.dumps(before)})

    def checking(original: Callable[..., Any]) -> Callable[..., Any]:
        def load(name: str, *args: Any, **kwargs: Any) -> Any:
            if pending:
                check(name)
            return original(name, *args, **kwargs)

        return load

    with patched(builtins, "__import__", checking), patched(importlib, "import_module", checking):
        yield


def _relevant() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
