"""Which variables the programs that the parent starts see."""

from __future__ import annotations

import os
from collections.abc import Mapping

from harness.core.paths import IMPORT_ROOT

# Everything else that could steer a computation (OMP_*, MKL_*, CUBLAS_*, TORCH_*, PYTHONHASHSEED)
# is for the setting alone to set.
ALLOWED_VARIABLES = (
    "PATH HOME LANG LC_ALL LC_CTYPE TZ TMPDIR LD_LIBRARY_PATH "
    "CUDA_VISIBLE_DEVICES CUDA_HOME CUDA_PATH NVIDIA_VISIBLE_DEVICES VIRTUAL_ENV SYSTEMROOT"
).split()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The allowed variables of the caller, the given ones, and the path to the harness."""
    allowed = {name: os.environ[name] for name in ALLOWED_VARIABLES if name in os.environ}
    paths = [str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # so that cuda:N is the driver's N too
    return {**order, **allowed, **extra, "PYTHONPATH": os.pathsep.join(paths)}
