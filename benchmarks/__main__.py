"""python -m benchmarks [step digest parent study]: all of them where none is named."""

from __future__ import annotations

import sys

from benchmarks import digest, parent, step, study

BENCHMARKS = {"digest": digest.run, "parent": parent.run, "step": step.run, "study": study.run}

if __name__ == "__main__":
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    for name in names:
        BENCHMARKS[name]()
