"""The digests of a training's steps, held so that two trainings are compared at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, overload

# The components of a step, in the order in which a step produces them. EXPLAINING components help
# to explain a divergence; only OUTCOMES decide verdicts.
EXPLAINING = ("rng", "batch")
OUTCOMES = ("buffers", "loss", "grads", "params", "optimizer")
COMPONENTS = (*EXPLAINING, *OUTCOMES)

TERMINATOR = " "  # of each digest in a text; no digest contains it
DIGEST_BYTES = 16
KEPT_COLUMNS = 4096  # read last: most columns equal one of another run of the cell

# The digests of one component: their bytes, or a text if one is no digest (not digested: empty).
Column = bytes | str


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
    """The components of successive steps as columns, one for each component.

    A study of 100,000 runs has some 10⁸ digests. As strings of their own they would take 10 GB, and
    a minute to read. Equal columns are one object.
    """

    columns: tuple[Column, ...]  # in the order of COMPONENTS

    @classmethod
    def of(cls, steps: Iterable[Components]) -> Steps:
        return cls._of_rows([*map(astuple, steps)])

    @classmethod
    def from_json(cls, document: Any) -> Steps:
        """From texts by component; also from rows, as earlier versions wrote them.

        Raises ValueError, KeyError or TypeError for anything else.
        """
        if isinstance(document, list):
            return cls._of_rows(document)
        steps = cls(tuple(_pack(document[name]) for name in COMPONENTS))
        if len(set(map(_length, steps.columns))) > 1:
            raise ValueError("the columns of steps have different lengths")
        return steps

    @classmethod
    def _of_rows(cls, rows: Sequence[Sequence[str]]) -> Steps:
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(COMPONENTS)
        if len(columns) != len(COMPONENTS):
            raise ValueError(f"a step has {len(columns)} digests, not {len(COMPONENTS)}")
        texts = ("".join(digest + TERMINATOR for digest in column) for column in columns)
        return cls(tuple(map(_pack, texts)))

    def to_json(self) -> dict[str, str]:
        return dict(zip(COMPONENTS, map(_unpack, self.columns), strict=True))

    def column(self, component: str) -> Column:
        return self.columns[COMPONENTS.index(component)]

    @property
    def outcomes(self) -> tuple[Column, ...]:
        """The columns that decide verdicts."""
        return self.columns[len(EXPLAINING) :]

    def __len__(self) -> int:
        return _length(self.columns[0])

    def __iter__(self) -> Iterator[Components]:
        return (Components(*row) for row in zip(*map(_digests, self.columns), strict=True))

    @overload
    def __getitem__(self, index: int) -> Components: ...

    @overload
    def __getitem__(self, index: slice) -> Steps: ...

    def __getitem__(self, index: int | slice) -> Components | Steps:
        found = list(self)[index]
        return found if isinstance(found, Components) else Steps.of(found)


def _length(column: Column) -> int:
    return column.count(TERMINATOR) if isinstance(column, str) else len(column) // DIGEST_BYTES


@lru_cache(KEPT_COLUMNS)
def _pack(text: str) -> Column:
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    is_whole = len(packed) % DIGEST_BYTES == 0
    return packed if is_whole and _unpack(packed) == text else text


def _unpack(column: Column) -> str:
    if isinstance(column, str) or not column:
        return column or ""
    return column.hex(TERMINATOR, DIGEST_BYTES) + TERMINATOR


def _digests(column: Column) -> list[str]:
    return _unpack(column).split(TERMINATOR)[:-1]


def first_difference(a: Column, b: Column) -> int | None:
    """The index of the first digest at which two columns differ; None if all common ones agree."""
    if a == b:
        return None
    pairs = zip(_digests(a), _digests(b), strict=False)
    return next((index for index, (x, y) in enumerate(pairs) if x != y), None)
