"""Finds a Docker client that can build and whose engine responds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from container.errors import NoContainerError

FIRST_CLIENT_WITHOUT_BUILDKIT = 23  # older ones have it built in, newer ones need the buildx plugin
SOCKET_DENIED = "permission denied"
ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True)
class Engine:
    """A Docker client whose engine responds."""

    client: str

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the client with BuildKit enabled and capture its output."""
        return subprocess.run(
            [self.client, *words], capture_output=True, text=True, check=False, env=environment()
        )

    @property
    def root(self) -> Path:
        """The folder in which the engine stores images, if it runs on this machine."""
        return Path(self.ask("info", "--format", "{{.DockerRootDir}}").stdout.strip() or "/")


def environment() -> dict[str, str]:
    return {**os.environ, "DOCKER_BUILDKIT": "1"}


def find() -> Engine:
    """Raises NoContainerError, with the reason, if no engine is usable."""
    clients = list(clients_on_path())
    if not clients:
        raise NoContainerError("no Docker client was found; install Docker Engine")
    builders = [client for client in clients if can_build(client)]
    if not builders:
        raise NoContainerError(f"{clients[0]} has no buildx; install the docker-buildx-plugin")
    try:
        version = subprocess.run(
            [builders[0], "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoContainerError(
            f"the Docker engine did not respond within {ANSWER_LIMIT_S:.0f} s; restart it"
        ) from None
    if version.returncode == 0:
        return Engine(builders[0])
    if SOCKET_DENIED in version.stderr.lower():
        raise NoContainerError(
            "the Docker engine denies access to this user; "
            "add the user to the docker group, or use rootless Docker"
        )
    raise NoContainerError("cannot connect to the Docker engine; start it (systemctl start docker)")


def clients_on_path() -> Iterator[str]:
    """Yield every `docker` on the PATH, because the first one may lack buildx."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        client = os.path.join(folder or ".", "docker")  # noqa: PTH118 - isfile() never raises
        if os.path.isfile(client) and os.access(client, os.X_OK):  # noqa: PTH113
            yield client


def can_build(client: str) -> bool:
    """Whether this client can build with BuildKit, either built in or through the buildx plugin."""
    if answers([client, "buildx", "version"]):
        return True
    version = subprocess.run([client, "--version"], capture_output=True, text=True, check=False)
    major = version.stdout.partition("version ")[2].partition(".")[0]
    return major.isdigit() and int(major) < FIRST_CLIENT_WITHOUT_BUILDKIT


def answers(command: list[str]) -> bool:
    """Whether the command exists and exits with status 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
