"""A private Docker engine for the tests, and a base image made without a registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from container.image import ROOT

CLIENT = "/usr/bin/docker"  # Debian's client, which has BuildKit built in
BASE = "test/base:bookworm"
WHEELS = "test/wheels:locked"
STARTS_WITHIN_S = 30.0
MAKE_BASE = """
set -o pipefail
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv bookworm - "$1" |
    "$2" import - "$3"
"""
LOCKS = ("build", "base", "torch-cpu")


@contextmanager
def private_engine() -> Iterator[dict[str, str]]:
    """Start a Docker engine without network; yield the environment that selects it."""
    work = Path(tempfile.mkdtemp(prefix="engine-"))
    socket = f"unix://{work}/docker.sock"
    words = [
        "/usr/sbin/dockerd",
        f"--host={socket}",
        f"--data-root={work}/data",
        f"--exec-root={work}/exec",
        f"--pidfile={work}/pid",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    ]
    with (work / "log").open("wb") as log:
        daemon = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    environment = {
        **os.environ,
        "DOCKER_HOST": socket,
        "BUILD_NETWORK": "none",
        "PATH": f"{Path(CLIENT).parent}:{os.environ['PATH']}",
    }
    try:
        wait_for_answer(environment, daemon, work / "log")
        yield environment
    finally:
        daemon.terminate()
        daemon.wait(STARTS_WITHIN_S)
        for mount in sorted(mounts_under(work), reverse=True):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(work)


def wait_for_answer(
    environment: dict[str, str], daemon: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while subprocess.run(
        [CLIENT, "version"], env=environment, capture_output=True, check=False
    ).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("dockerd does not respond:\n" + log.read_text()[-2000:])
        time.sleep(0.1)


def mounts_under(folder: Path) -> list[str]:
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{folder}/")]


def make_base(environment: dict[str, str]) -> None:
    """Create a small Debian with Python to replace the pinned base, which only a registry has."""
    sources = [
        str(path)
        for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
        if path.exists() and path.stat().st_size
    ]
    subprocess.run(
        ["bash", "-c", MAKE_BASE, "make-base", sources[0], CLIENT, BASE],
        env=environment,
        check=True,
        capture_output=True,
    )


def build_settings(folder: Path) -> dict[str, str]:
    """Return variables for `python -m container image`: local base and wheels, no index.

    Writes the pip configuration for the build into ``folder``.
    """
    conf = folder / "pip.conf"
    conf.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return {"BASE_IMAGE": BASE, "WHEELS_IMAGE": WHEELS, "PIP_CONF": str(conf), "TARGET": "cpu"}


def make_wheels(environment: dict[str, str], folder: Path) -> None:
    """Download the locked wheels with this machine's pip, so that the build needs no network."""
    for lock in LOCKS:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--require-hashes",
                "--no-deps",
                "--no-build-isolation",
                "--dest",
                str(folder),
                "-r",
                str(ROOT / "requirements" / f"{lock}.txt"),
            ],
            check=True,
            capture_output=True,
        )
    subprocess.run(
        [
            "bash",
            "-c",
            'set -o pipefail; tar -C "$1" -c . | "$2" import - "$3"',
            "make-wheels",
            str(folder),
            CLIENT,
            WHEELS,
        ],
        env=environment,
        check=True,
        capture_output=True,
    )
