"""The two implementations of the fixture ``same_across_runs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor

from harness.analysis.distances import Array
from harness.core.leaf_file import Leaf
from harness.testing.difference import difference
from harness.testing.golden import Entry, Golden
from harness.worker.snapshot_policy import save_once
from harness.worker.torch_backend import values
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.environment import describe_environment
from harness.worker.torch_backend.values import TensorLeaves


class Same(Protocol):
    """What a test receives from the fixture ``same_across_runs``."""

    def __call__(self, name: str, value: Any) -> None:
        """Raises AssertionError if the value differs from the golden value of that name."""

    def finish(self) -> list[str]:
        """Write what a passing test recorded; return the names of new golden values."""


class _UniqueNames:
    """Rejects a name that the test has already used."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def add(self, name: str) -> None:
        if name in self.used:
            raise ValueError(
                f"the name '{name}' is already used in this test: pass a different name to each "
                "call of same_across_runs"
            )
        self.used.add(name)


class RecordingFixture:
    """Collects every value in one fresh run of a marked test; the parent process compares them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = _UniqueNames()
        self.leaves: list[Leaf] = []
        self.tensors: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Any) -> None:
        self.names.add(name)
        leaves = values.flatten(value, name)
        self.leaves += [leaf for leaf, _ in leaves]
        self.tensors |= values.copy_tensors(leaves)  # copies: the test may modify its tensors later

    def finish(self) -> list[str]:
        if self.leaves:
            values.save_result(self.folder, self.leaves, self.tensors)
        return []


@dataclass(frozen=True)
class GoldenOptions:
    """Which test is running, and when its golden values may be recorded."""

    test: str  # its name in the golden file
    node: str  # its pytest node ID
    updates: bool  # --update-golden: replace existing values, and record missing ones even in CI
    in_ci: bool  # do not record missing values
    limit_mb: float  # MiB; only digests are stored for larger values


@dataclass
class GoldenFixture:
    """Compares values with the golden file, and records those that it does not contain."""

    golden: Golden
    terms: GoldenOptions
    names: _UniqueNames = field(default_factory=_UniqueNames)
    new: dict[str, Entry] = field(default_factory=dict)
    copies: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # by tensor file

    def __call__(self, name: str, value: Any) -> None:
        __tracebackhide__ = True
        self.names.add(name)
        leaves = values.flatten(value, name)
        known = self.golden.entries().get(self.terms.test, {}).get(name)
        if known is None and self.terms.in_ci and not self.terms.updates:
            raise AssertionError(
                f"no golden value '{name}' for {self.terms.test} in {self.golden.path}, and "
                "missing values are not recorded in CI: run the test locally and commit the file, "
                "or record the value here with --update-golden"
            )
        if known is None or self.terms.updates:
            self.take(name, leaves)
        elif frozenset(known.leaves) != frozenset(_without_tensors(leaves)):
            raise AssertionError(self.message(known, leaves))

    def take(self, name: str, leaves: TensorLeaves) -> None:
        stem = None
        if any(tensor is not None for _, tensor in leaves) and (
            values.size_mb(leaves) <= self.terms.limit_mb
        ):
            stem = digest([(leaf.name, tensor) for leaf, tensor in leaves if tensor is not None])
            self.copies[stem] = values.copy_tensors(leaves)
        self.new[name] = Entry(_without_tensors(leaves), describe_environment(leaves), stem)

    def finish(self) -> list[str]:
        if self.new:
            self.golden.record(self.terms.test, self.new, self.save)
        return list(self.new)

    def save(self) -> None:
        for stem, tensors in self.copies.items():
            save_once(self.golden.tensors, stem, lambda path, kept=tensors: save_file(kept, path))  # type: ignore[misc]

    def message(self, known: Entry, leaves: TensorLeaves) -> str:
        golden_tensors, unavailable = self.kept(known)
        tensors = {name: tensor.numpy() for name, tensor in values.copy_tensors(leaves).items()}
        change = difference(known.leaves, _without_tensors(leaves), golden_tensors, tensors)
        assert change is not None
        lines = [f"{change.describe('the golden file', 'this run')}."]
        if unavailable and change.is_tensor:
            lines.append(f"Cannot locate the differing elements: {unavailable}.")
        lines.append(
            f"{_describe_environment_change(known.environment, describe_environment(leaves))}."
        )
        lines.append(
            "If the new value is correct, update the golden file: "
            f"pytest '{self.terms.node}' --update-golden ({self.golden.path})."
        )
        return "\n".join(lines)

    def kept(self, known: Entry) -> tuple[dict[str, Array], str]:
        """Return the stored elements of the golden value, or none and the reason."""
        if known.tensors is None:
            return {}, "the value exceeds golden_limit_mb, so only digests are stored"
        path = self.golden.tensors_file(known.tensors)
        try:
            return load_file(path), ""
        except FileNotFoundError:
            return {}, f"{path} is missing"
        except SafetensorError as error:
            return {}, f"{path} cannot be read ({error})"


def _without_tensors(leaves: TensorLeaves) -> tuple[Leaf, ...]:
    return tuple(leaf for leaf, _ in leaves)


def _describe_environment_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say how the environment differs from the one in which the value was recorded."""
    changed = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    if not changed:
        return f"Recorded in the same environment (torch {now['torch']}, threads: {now['threads']})"
    changes = "; ".join(
        f"{name} was {before.get(name)}, is now {now.get(name)}" for name in changed
    )
    return f"Recorded in a different environment, where bits may differ: {changes}"
