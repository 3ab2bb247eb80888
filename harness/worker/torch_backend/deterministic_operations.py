"""Requires deterministic algorithms during named operations only: torch's switch is global.

The kernel of such an operation is wrapped where torch dispatches it, so that its calls in forward
and backward passes are reached, and no other operation is slowed. Regions that torch.compile has
compiled do not dispatch, and keep their own kernels.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

registered: list[Any] = []  # the libraries of wrapped kernels in this process


def require_during(operations: str | None) -> None:
    """Wrap the kernels of these operations from now on, and unwrap all others.

    ``operations`` are names of aten operations, joined by "+". Raises ValueError for one that does
    not exist or that torch replaces by others before it dispatches them.
    """
    while registered:
        registered.pop()._destroy()
    keys = ["CPU", "CUDA"] if torch.backends.cuda.is_built() else ["CPU"]
    for name in operations.split("+") if operations else []:
        for operation in _operations(name):
            registered.extend(_wrap(operation, key) for key in keys)


def _wrap(operation: Any, key: str) -> Any:
    kernel = torch.library.get_kernel(operation, key)

    def deterministic(keys: Any, *args: Any, **kwargs: Any) -> Any:
        was_required = torch.are_deterministic_algorithms_enabled()
        was_warning = torch.is_deterministic_algorithms_warn_only_enabled()
        _require(True, False)
        try:
            return kernel.call_boxed(keys, *args, **kwargs)
        finally:
            _require(was_required, was_warning)

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():  # that a kernel of torch is replaced
        warnings.simplefilter("ignore")
        library.impl(operation, deterministic, key, with_keyset=True)
    return library


def _require(is_required: bool, is_warning: bool) -> None:
    """The public function would import torch's compiler."""
    torch._C._set_deterministic_algorithms(is_required, warn_only=is_warning)


def _operations(name: str) -> list[Any]:
    """All forms of the operation, of which torch's backward passes call one or another."""
    packet, _, overload = name.partition(".")
    found = [
        operation
        for each in (packet, f"{packet}_", f"_{packet}_impl_")
        if (operation := getattr(getattr(torch.ops.aten, each, None), overload or "default", None))
        and torch._C._dispatch_has_kernel(operation.name())
    ]
    if not found:
        raise ValueError(
            f"determinism.deterministic_operations={name}: torch {torch.__version__} has no "
            f"operation aten.{name}{_advise(packet)}"
        )
    if any(map(_is_composite, found)):
        raise ValueError(
            f"determinism.deterministic_operations={name}: torch replaces it by other operations "
            "before it runs; name those, which `diagnose` shows"
        )
    return found


def _advise(name: str) -> str:
    """Name the forms that the operation has."""
    packet = getattr(torch.ops.aten, name, None) if name else None
    forms = [
        f"{name}.{form}"
        for form in (packet.overloads() if packet else ())
        if torch._C._dispatch_has_kernel(getattr(packet, form).name())
    ]
    return f"; its forms are {', '.join(forms)}" if forms else ""


def _is_composite(operation: Any) -> bool:
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has_kernel(operation.name(), "CompositeImplicitAutograd"))
