"""One run in one fresh process: import, wait for the turn, train, write the record, end."""

from __future__ import annotations

import atexit
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from harness.core.protocol import DONE, READY, UNWRITTEN
from harness.core.spec import RunSpec
from harness.worker.pipe import ParentPipe


def main() -> None:
    wall = ParentPipe(reply=int(sys.argv[1]))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a log tells how far
    asked = json.loads(wall.receive())
    spec, study = RunSpec.from_json(asked["spec"]), Path(asked["study"])

    from harness.core import record  # noqa: PLC0415 - imports are the warming up
    from harness.worker.backend import load_backend  # noqa: PLC0415
    from harness.worker.run import execute  # noqa: PLC0415

    load_backend(spec.cell.scenario.framework).warm_up(spec.cell.scenario)
    wall.send(READY)
    turn = json.loads(wall.receive())
    try:
        done = execute(spec, study)
        record.save_record(study / "runs", replace(done, **turn))
    except OSError as error:
        wall.send(f"{UNWRITTEN}: {error.strerror}")
    else:
        wall.send(DONE)
    atexit._run_exitfuncs()  # what libraries clean up: Keras' generated files, say
    sys.stdout.flush()
    os._exit(0)  # the record is on disk; unloading torch would cost the next run 0.2 s


if __name__ == "__main__":
    main()
