"""Where `make bench` runs, and what it says where it cannot."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from container.errors import ContainerError
from container.gpu import check_driver
from container.image import refuse_small_disk
from tests.container.conftest import container

NOWHERE = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nowhere/docker.sock"}


def test_without_an_engine_it_runs_natively_and_says_so_in_one_line() -> None:
    done = container("bench", "--version", **NOWHERE)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^container: running natively \(.+\)$", done.stdout, re.MULTILINE)) == 1


def test_a_container_that_was_demanded_and_cannot_be_had_is_an_error() -> None:
    done = container("bench", "matrix=smoke", CONTAINER="docker", **NOWHERE)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"container: no Docker .+\n", done.stderr)


def test_a_machine_without_docker_is_told_to_install_it(tmp_path: Path) -> None:
    done = container("image", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "container: no Docker client was found; install Docker Engine\n"


def test_an_unknown_place_is_refused_with_the_known_ones() -> None:
    done = container("bench", CONTAINER="podman", **NOWHERE)
    assert done.stderr == "container: CONTAINER=podman is not one of auto, docker, none\n"


def test_a_full_disk_is_found_before_the_build() -> None:
    refuse_small_disk(6 * 10**9, 5)
    with pytest.raises(ContainerError, match=r"has 4\.9 GB of disk left, .* about 5; try: docker"):
        refuse_small_disk(49 * 10**8, 5)


@pytest.mark.parametrize(("version", "refused"), [("570.86.15", True), ("580.65.06", False)])
def test_an_old_driver_is_refused(
    version: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for nvidia-smi, since no machine has both drivers."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if refused:
        with pytest.raises(ContainerError, match=r"driver is 570.86.15, and CUDA 13.0 needs 580"):
            check_driver()
    else:
        check_driver()
