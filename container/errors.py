"""Errors that state in one line why the container cannot be used and what to do about it."""

from __future__ import annotations


class ContainerError(Exception):
    """The container cannot be used, and running natively would not help."""


class NoContainerError(ContainerError):
    """No container is available; `make bench` can run natively instead."""
