"""Slurm: each submission is one array of jobs.

``sbatch`` is called directly. The states of jobs come from ``squeue`` alone, since a cluster
without accounting forgets a job as soon as it ends; whether it succeeded, its records tell.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.core.paths import IMPORT_ROOT
from harness.study.engines.engine import EngineError, Living
from harness.study.engines.options import SlurmOptions

PREFIX = "harness-"  # begins the names of our jobs
ANSWER_LIMIT_S = 60.0
QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}


@dataclass(frozen=True)
class Slurm:
    options: SlurmOptions
    logs: Path  # on storage that the nodes share; each job's output goes there

    @cached_property
    def most_together(self) -> int:
        """Slurm's MaxArraySize, above every index of an array."""
        match = re.search(r"MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]))
        return int(match[1]) if match else 1000

    def submit(self, submission: str, words: Sequence[str], number: int) -> list[str]:
        python = [
            *self.options.prefix,
            sys.executable,
            "-P",
            "-m",
            "harness.study.engines.node",
            *words,
        ]
        script = [
            "#!/bin/sh",
            *self.options.setup,
            # an empty entry would be the working directory, whose modules may have our names
            f"export PYTHONPATH={shlex.quote(str(IMPORT_ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}",
            f'exec {shlex.join(python)} "$SLURM_ARRAY_TASK_ID"',
        ]
        own = {
            "partition": self.options.partition,
            "account": self.options.account,
            "constraint": self.options.constraint,
            "gres": self.options.gres,
            "cpus-per-task": self.options.cpus,
            "time": self.options.time,
        }
        command = [
            "sbatch",
            "--parsable",
            "--requeue",  # a node that fails does not lose the job
            "--open-mode=append",
            "--ntasks=1",
            f"--job-name={PREFIX}{submission}",
            f"--array=0-{number - 1}",
            f"--output={str(self.logs).replace('%', '%%')}/{submission}-%a.log",
            *(f"--{name}={value}" for name, value in own.items() if value is not None),
            *["--exclusive"] * self.options.exclusive,
            *self.options.options,
        ]
        answer = _run(command, "\n".join(script) + "\n")
        job_id = answer.strip().partition(";")[0]  # what follows names the cluster
        return [f"{job_id}_{index}" for index in range(number)]

    def living(self) -> dict[str, Living] | None:
        try:
            lines = _run(["squeue", "--me", "-h", "-r", "-o", "%i|%j|%T|%R"]).splitlines()
        except EngineError:
            return None
        jobs = {}
        for job_id, name, state, where in (line.split("|", 3) for line in lines):
            if name.startswith(PREFIX):
                index = int(job_id.rpartition("_")[2])
                jobs[job_id] = Living(
                    name.removeprefix(PREFIX), index, state not in QUEUED, where.strip("()")
                )
        return jobs

    def node_of(self, job_id: str) -> str:
        try:
            shown = _run(["scontrol", "show", "job", "--oneliner", job_id])
        except EngineError:  # forgotten
            return ""
        match = re.search(r" NodeList=(?!\(null\))(\S+)", shown)
        return match[1] if match else ""

    def cancel(self, ids: Sequence[str]) -> None:
        if ids:
            _run(["scancel", *ids])


def _run(command: list[str], text: str = "") -> str:
    """What a command of Slurm prints. Raises EngineError if there is none, or if it fails."""
    if shutil.which(command[0]) is None:
        raise EngineError(
            f"launch=slurm: there is no {command[0]} on this machine; start the study where you "
            "submit jobs, or use launch=local"
        )
    # Variables of squeue would hide jobs.
    variables = {name: one for name, one in os.environ.items() if not name.startswith("SQUEUE_")}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_LIMIT_S,
            env=variables,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{command[0]} did not answer within {ANSWER_LIMIT_S:g} s") from error
    if done.returncode:
        raise EngineError(done.stderr.strip() or f"{command[0]} failed ({done.returncode})")
    return done.stdout
