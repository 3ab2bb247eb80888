"""The program of one fresh process: apply the setting, import the function, call it, save."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from harness.core.files import write_json
from harness.core.function_ref import FunctionRef, load_function
from harness.core.leaf_file import FAILURE, IN_RUN, REQUEST
from harness.core.spec import Determinism
from harness.worker.pipe import die_with_parent
from harness.worker.torch_backend import settings, values


def main() -> None:
    """Write the result, or a failure document so that the parent can raise this traceback."""
    die_with_parent()
    folder = Path(os.environ[IN_RUN])
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        # Apply the setting before the import: a module may draw random numbers while it loads.
        settings.apply(Determinism.from_json(request["determinism"]))
        value = load_function(FunctionRef(**request["target"]))()
    except BaseException as error:  # noqa: BLE001 - a user's function may raise anything
        write_json(folder / FAILURE, {"traceback": _traceback_of(error)})
        sys.exit(1)
    try:
        leaves = values.flatten(value, "result")
    except (TypeError, ValueError) as error:
        write_json(folder / FAILURE, {"unusable": str(error)})
        sys.exit(1)
    values.save_result(folder, [leaf for leaf, _ in leaves], values.copy_tensors(leaves))


def _traceback_of(error: BaseException) -> str:
    """Format the traceback without this file's own frame."""
    inner: Any = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, inner)).rstrip()


if __name__ == "__main__":
    main()
