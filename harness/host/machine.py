"""A description of this machine that is safe to publish: no host, user, serial or git remote."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.core.paths import IMPORT_ROOT
from harness.core.redact import redact
from harness.host import container_image


def describe_machine() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gb": round(memory.total / 2**30, 1),
        "driver": _driver(),
        "container": container_image.describe(),
        "harness": harness.__version__,
        "git": _git_state(),
    }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _driver() -> str | None:
    return _run_command(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])


def _git_state() -> str | None:
    """Commit of the harness, with ``+changes`` if tracked files differ from it."""
    if image := container_image.identity():
        return str(image["git"])
    if not (IMPORT_ROOT / ".git").exists():
        return None
    commit = _run_command(["git", "-C", str(IMPORT_ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _run_command(
        ["git", "-C", str(IMPORT_ROOT), "status", "--porcelain", "--untracked-files=no"]
    )
    return f"{commit}{'+changes' * bool(changed)}" if commit else None


def _run_command(command: list[str]) -> str | None:
    """The first line that a program prints, redacted; None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return redact(done.stdout.strip().split("\n")[0]) if done.returncode == 0 else None
