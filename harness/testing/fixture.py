"""What the fixture ``same_across_runs`` gives a test: a function that takes a name and a value."""

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
    def __call__(self, name: str, value: Any) -> None:
        """Raises AssertionError where the value is not what it was."""

    def finish(self) -> list[str]:
        """Writes what is to be remembered, of a test that passed; gives the recorded names."""


class _Names:
    """Each value of a test has a name of its own."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def take(self, name: str) -> None:
        if name in self.taken:
            raise ValueError(
                f"this test has given a value '{name}' before: give each one a name of its own"
            )
        self.taken.add(name)


class RecordingFixture:
    """One of several fresh runs of a marked test: takes everything, compares nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = _Names()
        self.leaves: list[Leaf] = []
        self.tensors: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Any) -> None:
        self.names.take(name)
        seen = values.flatten(value, name)
        self.leaves += [leaf for leaf, _ in seen]
        self.tensors |= values.copy_tensors(seen)  # of their own: the training goes on

    def finish(self) -> list[str]:
        if self.leaves:
            values.save_result(self.folder, self.leaves, self.tensors)
        return []


@dataclass(frozen=True)
class GoldenOptions:
    """How golden values are treated, and where."""

    test: str  # its name in the golden file
    node: str  # its name on the command line
    updates: bool  # renews what differs, and records what is missing
    in_ci: bool  # records nothing unasked
    limit_mb: float  # tensors above it are remembered by their digests alone


@dataclass
class GoldenFixture:
    """Compares with the golden file, or records there what it does not know."""

    golden: Golden
    terms: GoldenOptions
    names: _Names = field(default_factory=_Names)
    new: dict[str, Entry] = field(default_factory=dict)
    copies: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # by the tensors' file

    def __call__(self, name: str, value: Any) -> None:
        __tracebackhide__ = True
        self.names.take(name)
        seen = values.flatten(value, name)
        known = self.golden.entries().get(self.terms.test, {}).get(name)
        if known is None and self.terms.in_ci and not self.terms.updates:
            raise AssertionError(
                f"no golden value '{name}' of {self.terms.test} in {self.golden.path}, and in CI "
                "none is recorded unasked: run the test where it was written and commit the file, "
                "or record here with --update-golden"
            )
        if known is None or self.terms.updates:
            self.take(name, seen)
        elif frozenset(known.leaves) != frozenset(_leaves_in(seen)):
            raise AssertionError(self.message(known, seen))

    def take(self, name: str, seen: TensorLeaves) -> None:
        stem = None
        if any(tensor is not None for _, tensor in seen) and (
            values.size_mb(seen) <= self.terms.limit_mb
        ):
            stem = digest([(leaf.name, tensor) for leaf, tensor in seen if tensor is not None])
            self.copies[stem] = values.copy_tensors(seen)
        self.new[name] = Entry(_leaves_in(seen), describe_environment(seen), stem)

    def finish(self) -> list[str]:
        if self.new:
            self.golden.record(self.terms.test, self.new, self.save)
        return list(self.new)

    def save(self) -> None:
        for stem, tensors in self.copies.items():
            save_once(self.golden.tensors, stem, lambda path, kept=tensors: save_file(kept, path))  # type: ignore[misc]

    def message(self, known: Entry, seen: TensorLeaves) -> str:
        kept, why_not = self.kept(known)
        now = {name: tensor.numpy() for name, tensor in values.copy_tensors(seen).items()}
        found = difference(known.leaves, _leaves_in(seen), kept, now)
        assert found is not None
        lines = [f"{found.describe('the golden file', 'this run')}."]
        if why_not and found.is_tensor:
            lines.append(f"Which elements differ is not known: {why_not}.")
        lines.append(
            f"{_describe_environment_change(known.environment, describe_environment(seen))}."
        )
        lines.append(
            f"If the new value is right: pytest '{self.terms.node}' --update-golden "
            f"({self.golden.path})."
        )
        return "\n".join(lines)

    def kept(self, known: Entry) -> tuple[dict[str, Array], str]:
        """The elements that the golden value was recorded with; or none, and why."""
        if known.tensors is None:
            return {}, ("the value is above golden_limit_mb, so that only digests are kept")
        path = self.golden.tensors_file(known.tensors)
        try:
            return load_file(path), ""
        except FileNotFoundError:
            return {}, f"{path} is missing"
        except SafetensorError as error:
            return {}, f"{path} cannot be read ({error})"


def _leaves_in(seen: TensorLeaves) -> tuple[Leaf, ...]:
    return tuple(leaf for leaf, _ in seen)


def _describe_environment_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What of the environment is not as it was when the value was recorded."""
    changed = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    if not changed:
        return f"Recorded in an equal environment (torch {now['torch']}, {now['threads']} threads)"
    told = "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in changed)
    return f"Recorded in another environment, between which bits need not agree: {told}"
