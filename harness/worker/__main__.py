"""One run in one process: import, wait for the release, train, write the record, exit."""

from __future__ import annotations

import atexit
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from harness.core.errors import ProcessReplaced
from harness.core.frameworks import LATE_VARIABLES
from harness.core.paths import compiled_of
from harness.core.protocol import COMPILE_CACHES, DONE, READY, UNWRITTEN, module_command
from harness.core.spec import RunSpec
from harness.worker.pipe import ParentPipe


def main() -> None:
    run_worker(int(sys.argv[1]), *map(json.loads, sys.argv[2:]))


def run_worker(
    replies: int, request: Any = None, release: Any = None, server: str | None = None
) -> NoReturn:
    """Does one run; ``replies`` is the descriptor of the pipe to the parent. Ends the process.

    A request and a release are given only if this worker replaces one that has received them;
    ``server`` names the process that it was forked from.
    """
    parent = ParentPipe(replies)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # logs show progress
    request = request or json.loads(parent.receive())
    spec, study = RunSpec.from_json(request["spec"]), Path(request["study"])
    if server:
        os.environ.update((k, v) for k, v in spec.environment.items() if k in LATE_VARIABLES)
    for name in COMPILE_CACHES:  # a run may be given another one: scenario.environment
        os.environ.setdefault(name, str(compiled_of(study, spec.run_id) / name.lower()))

    from harness.core.record import save_record  # noqa: PLC0415 - importing is the warm-up
    from harness.factors.catalog import inside  # noqa: PLC0415
    from harness.worker.backend import load_backend  # noqa: PLC0415
    from harness.worker.run import execute  # noqa: PLC0415

    backend = load_backend(spec.cell.scenario.framework)
    backend.warm_up()
    with inside(spec.cell):  # what a scenario is to see when it is imported
        backend.load_scenario(spec.cell.scenario)
        if release is None:
            parent.send(READY)
            release = json.loads(parent.receive())
            if cores := release.pop("cores"):
                os.sched_setaffinity(0, cores)  # threads inherit it, and none has computed yet
        try:
            save_record(study / "runs", replace(execute(spec, study), server=server, **release))
        except ProcessReplaced as replaced:
            words = [str(parent.keep_open()), json.dumps(request), json.dumps(release)]
            sys.stdout.flush()
            again = module_command("harness.worker", *words)
            os.execve(again[0], again, replaced.variables)  # noqa: S606 - as the script asks
        except OSError as error:
            parent.send(f"{UNWRITTEN}: {error.strerror}")
        else:
            parent.send(DONE)
    atexit._run_exitfuncs()  # libraries clean up after themselves: Keras's generated files
    sys.stdout.flush()
    os._exit(0)  # the record is on disk; unloading torch would cost the next run 0.2 s


if __name__ == "__main__":
    main()
