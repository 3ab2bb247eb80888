"""Where `make bench` runs, and what it reports if it cannot run there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from container.errors import ContainerError
from container.gpu import check_driver
from container.image import refuse_small_disk
from tests.container.conftest import container

NO_ENGINE = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nowhere/docker.sock"}
# Stand-ins for the Docker client, so that the tests do not depend on the one installed here.
WITHOUT_BUILDX = 'case $1 in --version) echo "Docker version 29.0.0" ;; *) exit 1 ;; esac'
WITHOUT_ENGINE = 'case $1 in buildx) ;; *) echo "Cannot connect to the daemon" >&2; exit 1 ;; esac'


def test_without_an_engine_bench_runs_natively() -> None:
    """Without a Docker engine, `bench` runs natively and gives the reason in one line."""
    done = container("bench", "--version", **NO_ENGINE)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^container: running natively \(.+\)$", done.stdout, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (None, "no Docker client was found; install Docker Engine"),
        (WITHOUT_BUILDX, "{client} has no buildx; install the docker-buildx-plugin"),
        (WITHOUT_ENGINE, "cannot connect to the Docker engine; start it (systemctl start docker)"),
    ],
    ids=["no client", "no buildx", "no engine"],
)
def test_a_required_but_unavailable_container_is_an_error(
    client: str | None, reason: str, tmp_path: Path
) -> None:
    """CONTAINER=docker fails with the reason if the client or the engine is not usable."""
    program = tmp_path / "docker"
    if client is not None:
        program.write_text(f"#!/bin/sh\n{client}\n")
        program.chmod(0o755)
    done = container("bench", "matrix=smoke", CONTAINER="docker", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"container: {reason.format(client=program)}\n"


def test_without_a_client_image_advises_to_install_docker(tmp_path: Path) -> None:
    """Without a Docker client, `image` fails and advises to install Docker Engine."""
    done = container("image", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "container: no Docker client was found; install Docker Engine\n"


def test_an_unknown_container_choice_is_rejected() -> None:
    """An unknown value of CONTAINER is rejected with the list of allowed values."""
    done = container("bench", CONTAINER="podman", **NO_ENGINE)
    assert done.stderr == "container: CONTAINER=podman is not one of auto, docker, none\n"


def test_insufficient_disk_space_is_rejected() -> None:
    """A build that needs 5 GB is accepted with 6 GB free and rejected with 4.9 GB."""
    refuse_small_disk(6 * 10**9, 5)
    with pytest.raises(
        ContainerError, match=r"has 4\.9 GB of disk space left, .* about 5 GB; try: docker"
    ):
        refuse_small_disk(49 * 10**8, 5)


@pytest.mark.parametrize(("version", "refused"), [("570.86.15", True), ("580.65.06", False)])
def test_an_old_driver_is_rejected(
    version: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU driver older than 580 is rejected, as reported by a stand-in for nvidia-smi."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if refused:
        with pytest.raises(ContainerError, match=r"driver is 570.86.15, but CUDA 13.0 needs 580"):
            check_driver()
    else:
        check_driver()
