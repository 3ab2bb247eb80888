"""Why the container cannot be used, in one line for a person, with what to do."""

from __future__ import annotations


class ContainerError(Exception):
    """The container cannot be used here, and running natively would not help either."""


class NoContainerError(ContainerError):
    """The container cannot be had here; `make bench` may run natively instead."""
