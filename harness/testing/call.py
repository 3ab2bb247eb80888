"""One call of one function in one fresh process: import it, apply the setting, call, hand over."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from harness.core.function_ref import FunctionRef, load_function
from harness.core.leaf_file import FAILURE, IN_RUN, REQUEST
from harness.core.record import write_json
from harness.core.spec import Determinism
from harness.worker.pipe import die_with_parent
from harness.worker.torch_backend import settings, values


def main() -> None:
    """A failure is a document, so that the parent can raise it with the traceback of this side."""
    die_with_parent()
    folder = Path(os.environ[IN_RUN])
    asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        # before the import: a module may draw while it is loaded
        settings.apply(Determinism.from_json(asked["determinism"]))
        value = load_function(FunctionRef(**asked["target"]))()
    except BaseException as error:  # noqa: BLE001 - a user's function may raise anything
        write_json(folder / FAILURE, {"traceback": _traceback_of(error)})
        sys.exit(1)
    try:
        seen = values.flatten(value, "result")
    except (TypeError, ValueError) as error:
        write_json(folder / FAILURE, {"unusable": str(error)})
        sys.exit(1)
    values.save_result(folder, [leaf for leaf, _ in seen], values.copy_tensors(seen))


def _traceback_of(error: BaseException) -> str:
    """Without this file's own frame."""
    inner: Any = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, inner)).rstrip()


if __name__ == "__main__":
    main()
