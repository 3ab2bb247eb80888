"""Replaces a function while a training is observed, where a library has no hook for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Function = Callable[..., Any]


@contextmanager
def patched(owner: Any, name: str, replace: Callable[[Function], Function]) -> Iterator[None]:
    """In this context, ``owner.name`` is what ``replace`` returns for the original function."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(replace(original)))
    try:
        yield
    finally:
        setattr(owner, name, original)
