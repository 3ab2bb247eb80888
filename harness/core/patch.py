"""Replaces functions and attributes while a training runs, where a library has no hook."""

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
    with attribute(owner, name, functools.wraps(original)(replace(original))):
        yield


@contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """In this context, ``owner.name`` is another value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
