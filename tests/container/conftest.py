"""One private engine and one image for all tests that run in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from container.run import FLAGS
from tests.conftest import ROOT
from tests.container.private_engine import build_settings, make_base, make_wheels, private_engine


@dataclass(frozen=True)
class Engine:
    """The environment that leads to the private engine, with a base and wheels in it."""

    environment: dict[str, str]

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["/usr/bin/docker", *words], env=self.environment, text=True,
                              capture_output=True, check=False)  # fmt: skip

    def container(
        self, *words: str, root: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return container(*words, root=root, **{**self.environment, **environment})


def container(
    *words: str, root: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m container`, with this environment and no other."""
    return subprocess.run([sys.executable, "-m", "container", *words], cwd=root, text=True,
                          capture_output=True, check=False, env=environment,
                          stdin=subprocess.DEVNULL)  # fmt: skip


@pytest.fixture(scope="session")
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    if not request.config.getoption("--image"):
        pytest.skip("needs a Docker engine of its own: `make test-image` starts one")
    folder = tmp_path_factory.mktemp("wheels")
    settings = build_settings(tmp_path_factory.mktemp("conf"))
    with private_engine() as environment:
        make_base(environment)
        make_wheels(environment, folder)
        yield Engine({**environment, **settings})


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The built image's id."""
    built = engine.container("image")
    assert built.returncode == 0, built.stdout + built.stderr
    return built.stdout.strip().split()[-1]


@pytest.fixture
def inside(engine: Engine, image: str) -> Callable[[str], str]:
    """What a Python program prints that runs as the harness does."""

    def run(program: str) -> str:
        done = engine.docker("run", *FLAGS, "--entrypoint", "python", image, "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
