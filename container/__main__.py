"""python3 -m container image [TARGET] | bench WORDS...: what `make image` and `make bench` call.

CONTAINER=auto|docker|none says where `bench` runs; other variables are in image.Options.
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
    """The harness with these words, in the container where that can be, else natively."""
    place = os.environ.get("CONTAINER") or "auto"
    if place not in PLACES:
        raise ContainerError(f"CONTAINER={place} is not one of {', '.join(PLACES)}")
    if place == "none":
        return natively("CONTAINER=none", words)
    try:
        found = engine.find()
        target = target_here()
        if target.startswith("cuda"):
            gpu.check_driver()
        image_id = image.build(found, target, image.Options.from_environment())
    except NoContainerError as error:
        if place == "docker":
            raise
        return natively(str(error), words)
    print(
        f"container: running in {image.NAME}:{target}, since a Docker engine answers "
        "(CONTAINER=none runs natively)",
        flush=True,
    )
    return run(found, image_id, target.startswith("cuda"), words)


def target_here() -> str:
    return os.environ.get("TARGET") or ("cuda" if gpu.is_there() else "cpu")


def natively(why: str, words: Sequence[str]) -> int:
    """Sets .venv up and runs the harness in it."""
    print(f"container: running natively ({why})", flush=True)
    set_up = [sys.executable, str(image.ROOT / "requirements" / "install.py")]
    status = subprocess.run(set_up, check=False).returncode
    if status:
        return status
    python = str(image.ROOT / ".venv" / "bin" / "python")
    return os.execv(python, [python, "-m", "harness", *words])  # noqa: S606 - our own Python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
