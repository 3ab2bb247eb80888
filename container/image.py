"""Builds the image and records its base, locks and commit in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from container.engine import Engine, environment
from container.errors import ContainerError, NoContainerError

ROOT = Path(__file__).resolve().parent.parent
NAME = "determinism-harness"
TARGETS = ("cuda", "cpu", "cuda-compiler", "cpu-compiler")
BASE_ARGUMENTS = {"cuda": "BASE_IMAGE", "cpu": "CPU_BASE_IMAGE"}
NEEDED_GB = {"cuda": 16, "cpu": 5}  # disk space during the build; the images are 5.5 and 1.5 GB

NO_SPACE = "no space left on device"
OTHER_HASH = "DO NOT MATCH THE HASHES"
LINES_SHOWN = 12


@dataclass(frozen=True)
class Options:
    """Build options from environment variables, which `make` exports."""

    base: str | None = None  # BASE_IMAGE: replaces the base pinned in the Dockerfile
    pip_conf: str | None = None  # PIP_CONF: a pip.conf used only during the build
    ca_bundle: str | None = None  # CA_BUNDLE: PEM certificates used only during the build
    wheels_image: str | None = None  # WHEELS_IMAGE: an image with wheels in its root folder
    network: str | None = None  # BUILD_NETWORK: for the build steps: host, none or default

    @classmethod
    def from_environment(cls) -> Options:
        values = {
            name: os.environ.get(name.upper()) or None
            for name in ("pip_conf", "ca_bundle", "wheels_image")
        }
        return cls(
            base=os.environ.get("BASE_IMAGE") or None,
            network=os.environ.get("BUILD_NETWORK") or None,
            **values,
        )


def build(engine: Engine, target: str, options: Options) -> str:
    """Build the image and return its ID, ``sha256:...``.

    Raises NoContainerError if the base image cannot be pulled, and ContainerError if the build
    fails for another reason.
    """
    if target not in TARGETS:
        raise ContainerError(f"TARGET={target} is not one of {', '.join(TARGETS)}")
    variant = variant_of(target)
    base = options.base or default_base(variant)
    check_disk(engine, variant, target)
    pull(engine, base)
    with tempfile.TemporaryDirectory() as scratch:
        id_file = Path(scratch) / "id"
        run_build(engine, build_words(target, base, identity(engine, base), options, id_file))
        return id_file.read_text().strip()


def variant_of(target: str) -> str:
    return target.partition("-")[0]


def stage_of(target: str) -> str:
    return "compiler" if target.endswith("-compiler") else "program"


def build_words(
    target: str, base: str, who: dict[str, str], options: Options, id_file: Path
) -> list[str]:
    """Return the Docker client's arguments; ``who`` is the result of ``identity``."""
    labels = {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.revision": who["git"],
        "org.opencontainers.image.base.name": who["base"],
        "org.opencontainers.image.base.digest": who["base_digest"],
        f"{NAME}.locks": who["locks"],
    }
    variant = variant_of(target)
    arguments = {"VARIANT": variant, BASE_ARGUMENTS[variant]: base, "IDENTITY": json.dumps(who)}
    if options.wheels_image:
        arguments["WHEELS_IMAGE"] = options.wheels_image
    words = [
        "build",
        "--progress=plain",
        "--target",
        stage_of(target),
        "--tag",
        f"{NAME}:{target}",
        "--iidfile",
        str(id_file),
    ]
    for name, value in arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    for name, value in labels.items():
        words += ["--label", f"{name}={value}"]
    for secret, path in (("pip_conf", options.pip_conf), ("ca_bundle", options.ca_bundle)):
        if path:
            words += ["--secret", f"id={secret},src={path}"]
    if options.network:
        words += ["--network", options.network]
    return [*words, str(ROOT)]


def identity(engine: Engine, base: str) -> dict[str, str]:
    """Return the base, the digest of the locks and the commit, which are recorded in the image.

    ``base_digest`` is the digest that pins the base, or else the ID of the local image.
    """
    name, _, digest = base.partition("@")
    if not digest:
        digest = engine.ask("image", "inspect", "--format", "{{.Id}}", base).stdout.strip()
    locks = hashlib.sha256()
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        locks.update(lock.read_bytes())
    return {
        "base": name,
        "base_digest": digest,
        "locks": f"sha256:{locks.hexdigest()}",
        "git": commit(),
    }


def commit() -> str:
    """Return the commit, followed by `+changes` if tracked files differ from it, or `unknown`."""
    if not (ROOT / ".git").exists():
        return "unknown"
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + "+changes" * bool(changes.stdout)


def default_base(variant: str) -> str:
    """Read the pinned base from the Dockerfile, the only place that states it."""
    pattern = rf"^ARG {BASE_ARGUMENTS[variant]}=(\S+)$"
    match = re.search(pattern, (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert match, "a test ensures that the Dockerfile has this line"
    return match[1]


def check_disk(engine: Engine, variant: str, target: str) -> None:
    """Check disk space before the first build only; later builds need almost none."""
    root = engine.root
    if not root.exists() or engine.ask("image", "inspect", f"{NAME}:{target}").returncode == 0:
        return
    refuse_small_disk(shutil.disk_usage(root).free, NEEDED_GB[variant])


def refuse_small_disk(free: int, needed_gb: int) -> None:
    """Raises ContainerError if less than ``needed_gb`` gigabytes (1e9 bytes) is free.

    ``free`` is in bytes.
    """
    if free < needed_gb * 10**9:
        raise ContainerError(
            f"the Docker engine has {free / 10**9:.1f} GB of disk space left, but the build needs "
            f"about {needed_gb} GB; try: docker system prune"
        )


def pull(engine: Engine, base: str) -> None:
    """Pull the base before the build, so that a failed pull is not reported as a failed build."""
    if engine.ask("image", "inspect", base).returncode == 0:
        return
    print(f"container: pulling {base.partition('@')[0]}", flush=True)
    pulled = engine.ask("pull", "--quiet", base)
    if pulled.returncode != 0:
        reason = (pulled.stderr.strip().split("\n") or [""])[-1]
        if NO_SPACE in reason:
            raise ContainerError(f"the disk is full ({reason}); try: docker system prune")
        name = base.partition("@")[0]
        raise NoContainerError(
            f"the base image {name} cannot be pulled ({reason}); "
            "check the network, or use a local image: BASE_IMAGE=..."
        )


def run_build(engine: Engine, words: list[str]) -> None:
    """Build quietly; on failure, raise ContainerError with the last lines of the output."""
    print("container: building the image (minutes the first time, seconds after that)", flush=True)
    done = subprocess.run(
        [engine.client, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode == 0:
        return
    lines = [line for line in done.stdout.rstrip().split("\n") if line.strip()]
    if NO_SPACE in done.stdout:
        raise ContainerError("the disk is full; try: docker system prune")
    if OTHER_HASH in done.stdout:
        problem = "a downloaded package does not match its locked hash, so nothing was installed"
    else:
        problem = "the image could not be built"
    raise ContainerError(f"{problem}:\n" + "\n".join(f"  {line}" for line in lines[-LINES_SHOWN:]))
