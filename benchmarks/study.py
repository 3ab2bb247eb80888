"""Wall time of a study of quick's cells compared with the same runs as plain scripts in sequence.

One run of each kind and cell is timed as a script, and counts as often as the study has it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.alternate import seconds
from harness.core.blocks import runs_apart
from harness.core.spec import RunSpec
from harness.core.spec_json import to_json
from harness.study.child_process import environment
from harness.study.folder import StudyFolder
from harness.study.manifest import request_from_manifest
from harness.study.plan import plan

WORDS = [
    "matrix=quick",
    "runs.trace=6",
    "runs.first=null",
    "runs.timing=3",
    "timing.first=null",
    "study.budget_s=null",
    "study.repeat_failed=false",
]
PLAIN = """
import json, sys
from pathlib import Path
from harness.core.record import save_record
from harness.core.spec import RunSpec
from harness.worker.run import execute
folder = Path(sys.argv[1])
save_record(folder / "runs", execute(RunSpec.from_json(json.loads(sys.argv[2])), folder))
"""


def run() -> None:
    """Compare the study, with its probe, planning and report, with one process per run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "study"
        study_s = seconds(lambda: harness(folder))
        manifest = StudyFolder(folder).manifest
        planned = plan(request_from_manifest(manifest), manifest["device"]).runs
        runs = [run for spec in planned for run in runs_apart(spec) or [spec]]
        often = Counter((run.cell.id, run.twin, run.kind) for run in runs)
        plain_folder = Path(scratch) / "plain"
        (plain_folder / "runs").mkdir(parents=True)
        plain_s = sum(
            often[run.cell.id, run.twin, run.kind] * seconds(partial(script, run, plain_folder))
            for run in runs
            if run.number == 1
        )
    print(
        f"study / plain scripts, {len(runs)} runs of quick: {study_s / plain_s:.2f} "
        f"({study_s:.0f} s against {plain_s:.0f} s)  (at most 0.35)"
    )


def harness(folder: Path) -> None:
    command = [sys.executable, "-m", "harness", f"study.dir={folder}", *WORDS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # 1: a twin check failed by chance
        raise RuntimeError(done.stderr)


def script(spec: RunSpec, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder), json.dumps(to_json(spec))],
        check=True,
        capture_output=True,
        env=environment(spec.environment),
    )
