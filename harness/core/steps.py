"""The digests of a training's steps, held so that two trainings are compared at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, overload

# The components of a step, in the order in which a step produces them. EXPLAINING components help
# to explain a divergence; only OUTCOMES decide verdicts.
EXPLAINING = ("rng", "batch")
OUTCOMES = ("buffers", "loss", "grads", "params", "optimizer")
COMPONENTS = (*EXPLAINING, *OUTCOMES)
TERMINATOR = " "  # of a digest in a column; no digest contains it


@dataclass(frozen=True)
class Components:
    """One digest per component of one step."""

    rng: str
    batch: str
    buffers: str
    loss: str
    grads: str
    params: str
    optimizer: str


@dataclass(frozen=True)
class Steps(Sequence[Components]):
    """The components of successive steps as columns: one text of all digests per component.

    A study of 100,000 runs has some 10⁸ digests. As strings of their own they would take 10 GB, and
    a minute to read.
    """

    columns: tuple[str, ...]  # in the order of COMPONENTS; an TERMINATOR follows each digest

    @classmethod
    def of(cls, steps: Iterable[Components]) -> Steps:
        if isinstance(steps, Steps):
            return steps
        return cls._of_rows([astuple(step) for step in steps])

    @classmethod
    def from_json(cls, document: Any) -> Steps:
        """From columns; also from rows, as earlier versions wrote them."""
        if isinstance(document, dict):
            return cls(tuple(document[name] for name in COMPONENTS))
        return cls._of_rows(document)

    @classmethod
    def _of_rows(cls, rows: Sequence[Sequence[str]]) -> Steps:
        columns = zip(*rows, strict=True) if rows else [()] * len(COMPONENTS)
        return cls(
            tuple("".join(f"{digest}{TERMINATOR}" for digest in column) for column in columns)
        )

    def to_json(self) -> dict[str, str]:
        return dict(zip(COMPONENTS, self.columns, strict=True))

    def column(self, component: str) -> str:
        return self.columns[COMPONENTS.index(component)]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The columns that decide verdicts."""
        return self.columns[len(EXPLAINING) :]

    def __len__(self) -> int:
        return self.columns[0].count(TERMINATOR)

    def __iter__(self) -> Iterator[Components]:
        digests = [column.split(TERMINATOR)[:-1] for column in self.columns]
        return (Components(*row) for row in zip(*digests, strict=True))

    @overload
    def __getitem__(self, index: int) -> Components: ...

    @overload
    def __getitem__(self, index: slice) -> Steps: ...

    def __getitem__(self, index: int | slice) -> Components | Steps:
        found = list(self)[index]
        return found if isinstance(found, Components) else Steps.of(found)


def first_difference(a: str, b: str) -> int | None:
    """The index of the first digest at which two columns differ; None if all common ones agree."""
    if a == b:
        return None
    pairs = zip(a.split(TERMINATOR)[:-1], b.split(TERMINATOR)[:-1], strict=False)
    return next((index for index, (x, y) in enumerate(pairs) if x != y), None)
