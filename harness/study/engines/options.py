"""Options of the engines that run a study's jobs on a cluster, in their own words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SlurmOptions:
    """Passed to ``sbatch`` for each job; None: the cluster's default."""

    partition: str | None = None
    account: str | None = None
    constraint: str | None = None
    gres: str | None = None  # such as gpu:1
    cpus: int | None = None  # cores of each job
    time: int | None = None  # minutes that a job may take
    exclusive: bool = False  # nodes that no other job shares, for costs
    options: list[str] = field(default_factory=list)  # any others, such as --qos=high
    setup: list[str] = field(default_factory=list)  # shell lines before Python starts
    prefix: list[str] = field(default_factory=list)  # words before Python, as of Apptainer


@dataclass(frozen=True)
class RayOptions:
    """Passed to ``ray.init`` and to each task."""

    address: str = "auto"
    cpus: float = 1
    gpus: float = 0
    resources: dict[str, float] = field(default_factory=dict)
