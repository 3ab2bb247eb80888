"""The tables of a report in LaTeX, for `booktabs` and `longtable`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from harness.core.files import make_folder, write_text
from harness.report.content import legend
from harness.report.content.document import ReportContent
from harness.report.content.overview import SAME, Field
from harness.report.format import printable

RESULTS = ("scenario", "determinism", "verdict", "differ", "first divergence", "cost")
LONGEST = 40  # rows of a table on one page
CLAIMS = ("claim", "from", "says", "answer", "measured")
AUDIT = ("operation", "device", "dtype", "documented", "alert", "bits", "bits_full")
VERDICTS = (
    "Verdicts by training and setting; k of n: processes that differ from the most frequent result."
)
# Characters of ours that pdflatex does not know.
SYMBOLS = {
    "‖": r"\(\Vert\)",
    "≤": r"\(\le\)",
    "≥": r"\(\ge\)",
    "₁": r"\(_1\)",
    "−": r"\(-\)",
    "→": r"\(\to\)",
    "×": r"\(\times\)",
    "±": r"\(\pm\)",
    "µ": r"\(\mu\)",
}
UNKNOWN = re.compile("[^\n -~À-ÿ‘-‟–—…]")  # what the default fonts have no glyph for


def write_latex(folder: Path, content: ReportContent) -> None:
    """Write a file for each table that the report has, to be read by ``\\input``.

    Labels and captions are those of the report, and every number is that of its page.
    """
    make_folder(folder)
    for name, caption, columns, rows in _tables(content):
        path = folder / f"{name}.tex"
        if rows:
            write_text(path, _as_latex(name, f"{caption} {content.citation}", columns, rows))
        else:
            path.unlink(missing_ok=True)  # of an earlier report


def _tables(
    content: ReportContent,
) -> Iterable[tuple[str, str, Sequence[str], list[Sequence[str]]]]:
    """Yield name, caption, columns and rows of each table."""
    overview = content.overview
    yield (
        "verdicts",
        VERDICTS,
        ["training", "enough here", *overview.columns],
        [[row.label, row.suffices, *map(_words, row.fields)] for row in overview.rows],
    )
    yield (
        "results",
        "Results.",
        RESULTS,
        [[row.named()[column] for column in RESULTS] for row in content.matrix],
    )
    yield "twins", "A/A twins.", list(legend.TWINS), [list(row) for row in content.twins]
    yield "noise", "Noise by source.", list(legend.NOISE), [list(row) for row in content.noise]
    yield (
        "claims",
        content.answers,
        CLAIMS,
        [[claim[column] for column in CLAIMS] for claim in content.claims],
    )
    yield (
        "audit",
        "Audit of operations.",
        AUDIT,
        [[row[column] for column in AUDIT] for row in content.audit],
    )


def _words(field: Field | None) -> str:
    if field is None:
        return ""
    verdict = "identical" if field.mark is SAME else field.mark.word.partition(":")[0]
    parts = [f"as {field.like}"] if field.like else [verdict, field.differ, field.cost]
    return ", ".join(filter(None, parts))


def _as_latex(
    name: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    table = pd.DataFrame(rows, columns=pd.Index([_escape(column) for column in columns]))
    is_long = len(rows) > LONGEST
    width = f"{0.78 / len(columns):.3f}\\textwidth"
    wide = rf">{{\raggedright\arraybackslash}}p{{{width}}}" * len(columns)
    text: str = (
        table.style.format(_escape)
        .hide(axis="index")
        .to_latex(
            environment="longtable" if is_long else "table*",
            hrules=True,
            caption=_escape(caption),
            label=f"tab:{name}",
            column_format=wide if is_long else "l" * len(columns),
        )
    )
    if is_long:
        return f"% Needs \\usepackage{{array,booktabs,longtable}}; not in two columns.\n{text}"
    text = text.replace("\\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}", 1)
    text = text.replace("\\end{tabular}", "\\end{tabular}}", 1)
    return f"% Needs \\usepackage{{booktabs,graphicx}}.\n{text}"


def _escape(value: object) -> str:
    """Text that LaTeX prints as it is, on one line."""
    text = " ".join(printable(str(value).replace("`", "")).split())
    text = re.sub(r"[\\{}$&#^_%~]", lambda match: SPECIAL[match[0]], text)
    text = "".join(SYMBOLS.get(character, character) for character in text)
    text = UNKNOWN.sub("?", text)
    return f"{{}}{text}" if text.startswith(("[", "*")) else text  # no argument of the line before


SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
}
