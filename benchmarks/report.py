"""Time and memory of the report of many records, copies of those of a real study."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import count, islice
from pathlib import Path

from harness.core.protocol import module_command
from harness.core.record import RunRecord, load_record, save_record
from harness.study.child_process import environment

WORDS = ["-m", "scenario=mlp,cnn", "determinism=none,seed,full", "runs.trace=3", "runs.timing=3"]
SIZES = {1_240: "at most 4 s", 100_000: "under 60 s and 2 GB"}


def run() -> None:
    for size, wanted in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            study = Path(scratch) / "study"
            make_study(study)
            multiply(study, size)
            wall_s, peak_mb = measured(study)
        print(f"report of {size:,} records: {wall_s:.1f} s, {peak_mb:,.0f} MB  ({wanted})")


def make_study(study: Path) -> None:
    words = [f"study.dir={study}", *WORDS, "study.repeat_failed=false", "timing.min_s=0.01"]
    subprocess.run(
        [sys.executable, "-m", "harness", *words], check=False, capture_output=True, timeout=600
    )


def multiply(study: Path, size: int) -> None:
    """Copy the study's records under new numbers until there are ``size`` of them."""
    records = [load_record(path) for path in sorted((study / "runs").glob("*.t*.*.json"))]
    schedule = [record.run_id for record in records]
    copies = (renumbered(record, number) for number in count(4) for record in records)
    for position, record in enumerate(islice(copies, size - len(records)), len(records)):
        save_record(study / "runs", dataclasses.replace(record, position=position))
        schedule.append(record.run_id)
    (study / "schedule.json").write_text(json.dumps(schedule))


def renumbered(record: RunRecord, number: int) -> RunRecord:
    spec = dataclasses.replace(record.spec, number=3 * number + record.spec.number)
    return dataclasses.replace(record, spec=spec, run_id=spec.run_id)


def measured(study: Path) -> tuple[float, float]:
    """Seconds, and MB at the peak, of the process that makes the report."""
    began = time.perf_counter()
    process = subprocess.Popen(
        module_command("harness.report", str(study)),
        env=environment({}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - began, usage.ru_maxrss / 1024
