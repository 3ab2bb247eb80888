"""python -m benchmarks [NAME ...], of the names in BENCHMARKS.

Without arguments, runs all but `container`, which needs root and Debian's Docker engine
(tests/container/install_engine.sh).
"""

from __future__ import annotations

import sys

from benchmarks import (
    alternatives,
    block,
    container,
    digest,
    parent,
    program,
    report,
    script,
    step,
    study,
    watch,
)

BENCHMARKS = {
    "digest": digest.run,
    "parent": parent.run,
    "step": step.run,
    "block": block.run,
    "watch": watch.run,
    "script": script.run,
    "program": program.run,
    "study": study.run,
    "alternatives": alternatives.run,
    "report": report.run,
    "container": container.run,
}

if __name__ == "__main__":
    names = sys.argv[1:] or [name for name in BENCHMARKS if name != "container"]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    for name in names:
        BENCHMARKS[name]()
