"""python -m benchmarks [NAME ...], of the names in BENCHMARKS.

Without arguments, runs all but those that need more than `make setup` installs: `container` needs
root and Debian's Docker engine (tests/container/install_engine.sh), `page` needs Chromium
(tests/browser/install_browser.sh).
"""

from __future__ import annotations

import sys

from benchmarks import (
    alternatives,
    block,
    container,
    digest,
    driver,
    page,
    parent,
    program,
    report,
    script,
    site,
    step,
    study,
    watch,
)

BENCHMARKS = {
    "digest": digest.run,
    "parent": parent.run,
    "driver": driver.run,
    "step": step.run,
    "block": block.run,
    "watch": watch.run,
    "script": script.run,
    "program": program.run,
    "study": study.run,
    "alternatives": alternatives.run,
    "report": report.run,
    "site": site.run,
    "page": page.run,
    "container": container.run,
}

MORE = ("container", "page")

if __name__ == "__main__":
    names = sys.argv[1:] or [name for name in BENCHMARKS if name not in MORE]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    for name in names:
        BENCHMARKS[name]()
