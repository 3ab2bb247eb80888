"""What the driver needs of an engine, which runs jobs on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

GONE_AFTER = 2  # polls in a row in which a job is not alive, though its result is not there


@dataclass(frozen=True)
class Living:
    """A job that is queued or running."""

    submission: str  # the name under which it was submitted
    index: int  # among the jobs of that submission
    is_running: bool
    where: str  # its node; if it is queued, the engine's reason; "" if the engine does not tell


class Engine(Protocol):
    """Hands jobs to a cluster and asks which of them are alive; the cluster schedules them."""

    @property
    def most_together(self) -> int:
        """The most jobs that one call of ``submit`` takes."""

    def submit(self, submission: str, words: Sequence[str], number: int) -> list[str]:
        """Submit jobs that call ``node.main`` with these words and their index; return their ids.

        Raises EngineError if the cluster refuses.
        """

    def living(self) -> dict[str, Living] | None:
        """The harness's queued and running jobs by id; None if the cluster does not answer now."""

    def node_of(self, job_id: str) -> str:
        """The node on which a job that has ended ran last; "" if the engine does not tell."""

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs that are queued or running."""


def waited(what: str, limit_s: float, reason: str) -> str:
    """The message about a job that got no node in time."""
    return (
        f"{what} has waited {limit_s:g} s for a node (launch.queue_s); the cluster gives as the "
        f"reason: {reason or 'none'}"
    )


class EngineError(Exception):
    """The cluster cannot be used, or refuses a job; the message says why."""
