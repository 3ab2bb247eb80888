"""Builds the image, with its identity in it."""

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
NEEDED_GB = {"cuda": 16, "cpu": 5}  # while it is built; the images are 5.5 and 1.5

NO_SPACE = "no space left on device"
OTHER_HASH = "DO NOT MATCH THE HASHES"
LINES_SHOWN = 12


@dataclass(frozen=True)
class Options:
    """What the environment may say of a build; make hands its variables on."""

    base: str | None = None  # instead of the Dockerfile's pinned default
    pip_conf: str | None = None  # a pip.conf for the build alone
    ca_bundle: str | None = None  # PEM certificates for the build alone
    wheels_image: str | None = None  # an image with wheels in its root folder
    network: str | None = None  # of the build's own steps: host, none, default

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
    """The image's id, ``sha256:...``.

    Raises NoContainerError where the base image cannot be pulled, ContainerError where the build
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
    """The client's words for a build; ``who`` is its identity()."""
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
    """What the image says of itself: its base, the locks' digest and the checkout's commit.

    ``base_digest`` is the one that the base is pinned by, else the id of the local image.
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
    """The checkout's commit, with `+changes` where files differ from it; or `unknown`."""
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
    """The pinned base in the Dockerfile: written there once, and read from there."""
    pattern = rf"^ARG {BASE_ARGUMENTS[variant]}=(\S+)$"
    found = re.search(pattern, (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found, "a test keeps this line in the Dockerfile"
    return found[1]


def check_disk(engine: Engine, variant: str, target: str) -> None:
    """Asked only before a first build: later ones need next to nothing."""
    root = engine.root
    if not root.exists() or engine.ask("image", "inspect", f"{NAME}:{target}").returncode == 0:
        return
    refuse_small_disk(shutil.disk_usage(root).free, NEEDED_GB[variant])


def refuse_small_disk(free: int, needed_gb: int) -> None:
    """Raises ContainerError where fewer than the needed gigabytes (1e9 bytes) are free."""
    if free < needed_gb * 10**9:
        raise ContainerError(
            f"the Docker engine has {free / 10**9:.1f} GB of disk left, and the build needs "
            f"about {needed_gb}; try: docker system prune"
        )


def pull(engine: Engine, base: str) -> None:
    """Makes sure of the base first, so that a build that fails afterwards failed by itself."""
    if engine.ask("image", "inspect", base).returncode == 0:
        return
    print(f"container: pulling {base.partition('@')[0]}", flush=True)
    pulled = engine.ask("pull", "--quiet", base)
    if pulled.returncode != 0:
        said = (pulled.stderr.strip().split("\n") or [""])[-1]
        if NO_SPACE in said:
            raise ContainerError(f"the disk is full ({said}); try: docker system prune")
        name = base.partition("@")[0]
        raise NoContainerError(
            f"the base image {name} cannot be pulled ({said}); "
            "look at the network, or name one that is here: "
            "BASE_IMAGE=..."
        )


def run_build(engine: Engine, words: list[str]) -> None:
    """Builds in silence; where that fails, the telling end of what was said is in the error."""
    print("container: building the image (minutes at first, seconds later)", flush=True)
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
        what = "a downloaded package is not the one that was locked, so nothing was installed"
    else:
        what = "the image could not be built"
    raise ContainerError(f"{what}:\n" + "\n".join(f"  {line}" for line in lines[-LINES_SHOWN:]))
