"""Time and memory of the report of many records, made from those of a real study.

Copies of a run that varies have digests of their own, as the runs of such a cell do.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path

from harness.core.protocol import module_command
from harness.core.record import Repeat, RunRecord, load_record
from harness.core.steps import Steps
from harness.study.child_process import environment

HEXADECIMAL = "0123456789abcdef"
BLOCKS = 3  # runs of a cell in the real study
WORDS = ["-m", "scenario=mlp,cnn", "determinism=none,seed,full"]
VARYING = "none"  # the setting whose runs all differ
SIZES = {1_240: "at most 4 s", 100_000: "under 60 s and 2 GB"}


def run() -> None:
    for size, wanted in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            study = Path(scratch) / "study"
            make_study(study)
            multiply(study, size)
            wall_s, peak_mb = measured(module_command("harness.report", str(study)))
        print(f"report of {size:,} records: {wall_s:.1f} s, {peak_mb:,.0f} MB  ({wanted})")


def make_study(study: Path) -> None:
    words = [
        f"study.dir={study}",
        *WORDS,
        f"runs.trace={BLOCKS}",
        f"runs.timing={BLOCKS}",
        "study.repeat_failed=false",
        "timing.min_s=0.01",
    ]
    subprocess.run(
        [sys.executable, "-m", "harness", *words], check=False, capture_output=True, timeout=600
    )


def multiply(study: Path, size: int) -> None:
    """Copy the study's records under new numbers until there are ``size`` of them."""
    records = [load_record(path) for path in sorted((study / "runs").glob("*.t*.*.json"))]
    schedule = [record.run_id for record in records]
    copies = (
        copied(record, BLOCKS * turn + record.spec.number)
        for turn in count(1)
        for record in records
    )
    for position, record in enumerate(islice(copies, size - len(records)), len(records)):
        document = dataclasses.replace(record, position=position).to_json()
        (study / "runs" / f"{record.run_id}.json").write_text(json.dumps(document))
        schedule.append(record.run_id)
    (study / "schedule.json").write_text(json.dumps(schedule))


def copied(record: RunRecord, number: int) -> RunRecord:
    """The record as that of another run, number ``number``, which varies if its cell does."""
    spec = dataclasses.replace(record.spec, number=number)
    repeats = record.repeats
    if record.spec.cell.setting == VARYING:
        digits = "".join(random.Random(number).sample(HEXADECIMAL, len(HEXADECIMAL)))
        repeats = [with_digits(repeat, str.maketrans(HEXADECIMAL, digits)) for repeat in repeats]
    return dataclasses.replace(record, spec=spec, run_id=spec.run_id, repeats=repeats)


def with_digits(repeat: Repeat, digits: dict[int, int]) -> Repeat:
    """The training with other digests: each hexadecimal digit is replaced by another one."""
    steps = {name: text.translate(digits) for name, text in repeat.steps.to_json().items()}
    final = {name: digest.translate(digits) for name, digest in repeat.final.items()}
    snapshots = {step: digest.translate(digits) for step, digest in repeat.snapshots.items()}
    return dataclasses.replace(
        repeat, steps=Steps.from_json(steps), final=final, snapshots=snapshots
    )


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds, and MB at the peak, of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - began, usage.ru_maxrss / 1024
