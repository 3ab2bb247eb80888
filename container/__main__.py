"""python3 -m container image [TARGET] | bench ARGS...: called by `make image` and `make bench`.

CONTAINER=auto|docker|none selects where `bench` runs. image.Options lists the other variables.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from container import engine, gpu, image
from container.errors import ContainerError, NoContainerError
from container.run import run

PLACES = ("auto", "docker", "none")


def main(words: Sequence[str]) -> int:
    verb, rest = words[0], list(words[1:])
    try:
        return make_image(rest) if verb == "image" else bench(rest)
    except ContainerError as error:
        print(f"container: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def make_image(words: Sequence[str]) -> int:
    target = words[0] if words else target_here()
    image_id = image.build(engine.find(), target, image.Options.from_environment())
    print(f"image: {image.NAME}:{target} {image_id}")
    return 0


def bench(words: Sequence[str]) -> int:
    """Run the harness with these arguments, in the container if possible, else natively."""
    place = os.environ.get("CONTAINER") or "auto"
    if place not in PLACES:
        raise ContainerError(f"CONTAINER={place} is not one of {', '.join(PLACES)}")
    if place == "none":
        return natively("CONTAINER=none", words)
    try:
        docker = engine.find()
        target = target_here()
        if target.startswith("cuda"):
            gpu.check_driver()
        image_id = image.build(docker, target, image.Options.from_environment())
    except NoContainerError as error:
        if place == "docker":
            raise
        return natively(str(error), words)
    print(
        f"container: running in {image.NAME}:{target}, because a Docker engine is available "
        "(CONTAINER=none runs natively)",
        flush=True,
    )
    return run(docker, image_id, target.startswith("cuda"), words)


def target_here() -> str:
    return os.environ.get("TARGET") or ("cuda" if gpu.is_there() else "cpu")


def natively(why: str, words: Sequence[str]) -> int:
    """Set up .venv and run the harness in it."""
    print(f"container: running natively ({why})", flush=True)
    install = [sys.executable, str(image.ROOT / "requirements" / "install.py")]
    status = subprocess.run(install, check=False).returncode
    if status:
        return status
    python = str(image.ROOT / ".venv" / "bin" / "python")
    return os.execv(python, [python, "-m", "harness", *words])  # noqa: S606 - our own Python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
