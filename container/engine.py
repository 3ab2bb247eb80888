"""Finds a Docker client that can build, and an engine that answers it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from container.errors import NoContainerError

FIRST_CLIENT_WITHOUT_BUILDKIT = 23  # before, it is inside; since, it is the plugin `buildx`
SOCKET_DENIED = "permission denied"
ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True)
class Engine:
    """A Docker client whose engine answers."""

    client: str

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the client with its output kept; BuildKit is on for clients where it is a choice."""
        return subprocess.run(
            [self.client, *words], capture_output=True, text=True, check=False, env=environment()
        )

    @property
    def root(self) -> Path:
        """Where the engine keeps images, if it runs on this machine."""
        return Path(self.ask("info", "--format", "{{.DockerRootDir}}").stdout.strip() or "/")


def environment() -> dict[str, str]:
    return {**os.environ, "DOCKER_BUILDKIT": "1"}


def find() -> Engine:
    """Raises NoContainerError, saying why, where no engine can be used from here."""
    clients = list(clients_on_path())
    if not clients:
        raise NoContainerError("no Docker client was found; install Docker Engine")
    builders = [client for client in clients if can_build(client)]
    if not builders:
        raise NoContainerError(f"{clients[0]} has no buildx; install the docker-buildx-plugin")
    try:
        asked = subprocess.run(
            [builders[0], "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoContainerError(
            f"the Docker engine has not answered for {ANSWER_LIMIT_S:.0f} s; restart it"
        ) from None
    if asked.returncode == 0:
        return Engine(builders[0])
    if SOCKET_DENIED in asked.stderr.lower():
        raise NoContainerError(
            "the Docker engine refuses this user; join the group docker, or use rootless Docker"
        )
    raise NoContainerError("no Docker engine answers; start it (systemctl start docker)")


def clients_on_path() -> Iterator[str]:
    """Every `docker` on the PATH: the first may be one that cannot build."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        client = os.path.join(folder or ".", "docker")  # noqa: PTH118 - isfile() never raises
        if os.path.isfile(client) and os.access(client, os.X_OK):  # noqa: PTH113
            yield client


def can_build(client: str) -> bool:
    """Whether this client can build with BuildKit, by itself or by its plugin."""
    if answers([client, "buildx", "version"]):
        return True
    asked = subprocess.run([client, "--version"], capture_output=True, text=True, check=False)
    major = asked.stdout.partition("version ")[2].partition(".")[0]
    return major.isdigit() and int(major) < FIRST_CLIENT_WITHOUT_BUILDKIT


def answers(command: list[str]) -> bool:
    """Whether a command exists here and ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
