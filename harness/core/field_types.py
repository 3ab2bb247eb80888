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
    for name, plain, fits in _checkers(kind):
        value = getattr(instance, name)
        if type(value) not in plain and not fits(value):
            raise TypeError(f"{name} is of the wrong type")


@cache
def _checkers(kind: type[Any]) -> list[tuple[str, frozenset[type], Fits]]:
    """Of each field: its name, the types of which every value fits, and a check of any value."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return [(name, frozenset(_plain(hints[name])), _checker(hints[name])) for name in names]


def _plain(hint: Any) -> set[type]:
    if get_origin(hint) in (Union, types.UnionType):
        return set[type]().union(*map(_plain, get_args(hint)))
    is_class = isinstance(hint, type) and get_origin(hint) is None
    return {hint} if is_class and hint is not float else set()  # a float may not be finite


@cache
def _checker(hint: Any) -> Fits:
    origin, parts = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if origin in (Union, types.UnionType):
        options = [_checker(part) for part in parts]
        return lambda value: any(fits(value) for fits in options)
    if origin in (list, Sequence, tuple):
        return _items_fit(parts[0])
    if origin in (dict, Mapping):
        keys, items = map(_items_fit, parts)
        return lambda value: isinstance(value, dict) and keys([*value]) and items([*value.values()])
    return lambda value: isinstance(value, hint)


def _items_fit(hint: Any) -> Fits:
    """Check many items, which are millions in a large study, without a call for each."""
    allowed = set(get_args(hint) if get_origin(hint) in (Union, types.UnionType) else [hint])
    if not allowed <= {int, float, str}:
        item = _checker(hint)
        return lambda value: isinstance(value, (list, tuple)) and all(map(item, value))
    allowed |= {int} if float in allowed else set()

    def fits(value: Any) -> bool:
        kinds = set(map(type, value)) if isinstance(value, (list, tuple)) else {None}
        if not kinds <= allowed:
            return False
        if float not in kinds:
            return True
        numbers = [item for item in value if type(item) is float] if len(kinds) > 1 else value
        return all(map(math.isfinite, numbers))

    return fits
