"""Whether the fields of a data class hold what their annotations say; JSON may hold anything."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

Fits = Callable[[Any], bool]
SIMPLE: dict[Any, Fits] = {
    Any: lambda _: True,
    int: lambda value: type(value) is int,
    float: lambda value: type(value) in (int, float) and math.isfinite(value),
}


def check_fields(instance: Any) -> None:
    """Raise TypeError for the first field with another type, or with a number that is not finite.

    Only the data class itself is checked, not those that it holds. A float may be an integer.
    """
    kind: Any = type(instance)
    for name, fits in _checkers(kind).items():
        if not fits(getattr(instance, name)):
            raise TypeError(f"{name} is of the wrong type")


@cache
def _checkers(kind: type[Any]) -> dict[str, Fits]:
    hints = get_type_hints(kind)
    return {field.name: _checker(hints[field.name]) for field in dataclasses.fields(kind)}


@cache
def _checker(hint: Any) -> Fits:
    origin, parts = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if origin in (Union, types.UnionType):
        options = [_checker(part) for part in parts]
        return lambda value: any(fits(value) for fits in options)
    if origin in (list, Sequence, tuple):
        item = _checker(parts[0])
        return lambda value: isinstance(value, (list, tuple)) and all(map(item, value))
    if origin in (dict, Mapping):
        key, item = map(_checker, parts)
        return lambda value: (
            isinstance(value, dict) and all(map(key, value)) and all(map(item, value.values()))
        )
    return lambda value: isinstance(value, hint)
