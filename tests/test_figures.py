"""Numbers on the pages that nothing recomputes, or that differ from the records, are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.figures import __main__ as figures
from docs.figures.page import uncovered
from docs.figures.sentences import Sentence

PAGE = """# Of Python 3.11, 3.12 or 3.13

In 4 of 96 processes, the
training ([study](results/20261121/report.md)) varied; `float32` and `x[index]` did too.

```
make bench PROCESSES=1500
```

```
train.py: 5 runs
```
"""


def test_a_number_in_no_sentence_is_found() -> None:
    """Numbers count unless a sentence has them, or they belong to a command, link or name."""
    assert [
        text.split()[-2] for text in uncovered(PAGE, ["In 4 of 96 processes, the training"])
    ] == ["5"]
    assert len(list(uncovered(PAGE, ["train.py: 5 runs"]))) == 2


@pytest.mark.parametrize(
    ("text", "source", "faults"),
    [
        ("In 4 of 96 processes", "20261121", 0),
        ("In 5 of 96 processes", "20261121", 1),
        ("In 4 of 96 processes", "20261122", 1),
    ],
)
def test_a_sentence_must_be_on_its_page_beside_its_source(
    text: str, source: str, faults: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence with another number, or a page that does not name the study, is a fault."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    def planted() -> Iterator[Sentence]:
        yield Sentence(page, source, text)

    monkeypatch.setattr(figures, "SECTIONS", [planted])
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    (tmp_path / "empty.md").write_text("")
    monkeypatch.setattr(figures, "PAGES", ())
    for name in ("README", "TRANSLATION"):
        monkeypatch.setattr(figures, name, tmp_path / "empty.md")
    assert len(figures.check()) == faults
