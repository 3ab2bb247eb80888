"""The rows of the tables that only some studies have: claims, audit, first calls, noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

import pandas as pd

from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import StudyData
from harness.report.content.matrix_rows import format_agreement, with_detail
from harness.report.format import DASH, figure, is_known, join_words, percent, plural
from harness.report.labels import scenario_labels

SOURCES = {
    "implementation": "the machine (fixed seeds, any kernels)",
    "algorithm": "the seed (deterministic kernels)",
    "both": "the machine and the seed",
    "bit_flip": "one bit of one initial weight",
    "tiny": "noise of 1e-8 on half of the initial weights",
}
ANSWERS = (Answer.fails, Answer.open, Answer.holds)  # in the order of a reader's interest


def string_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def claim_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of claims.csv, those that fail first, and our own after those of write-ups."""
    rows = [
        {**row, "from": "ours" if row["own"] == "True" else row["source"]}
        for row in string_rows(table)
    ]
    return sorted(
        rows, key=lambda row: (ANSWERS.index(Answer(row["answer"])), row["from"] == "ours")
    )


def count_answers(claims: pd.DataFrame) -> str:
    """Count published sentences, not rows: a sentence about 18 operations is one claim.

    A sentence of several rows fails if one does, and holds if all do.
    """
    if claims.empty:
        return ""
    published = claims[~claims["own"]]
    answers = Counter(
        next(
            (answer for answer in (Answer.fails, Answer.open) if answer in set(rows)), Answer.holds
        )
        for _, rows in published.groupby("sentence")["answer"]
    )
    failing = published["sentence"][published["answer"] == Answer.fails].unique()
    named = f" ({join_words([f'`{name}`' for name in failing])})" if len(failing) else ""
    text = (
        f"{plural(answers.total(), 'published claim')} from "
        f"{plural(published['source'].nunique(), 'write-up')}: {answers[Answer.holds]} hold here, "
        f"{answers[Answer.fails]} do not{named}, {answers[Answer.open]} cannot be decided here."
    )
    own = int(claims["own"].sum())
    return f"{text} {plural(own, 'further row')} are our own variants and answers." if own else text


def audit_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of audit.csv: operations that vary first, then those with a contradiction."""
    return sorted(
        string_rows(table), key=lambda row: ("varies" not in row["bits"], not row["disagree"])
    )


def describe_sources(claims: pd.DataFrame) -> str:
    """Which write-ups the published claims are from, and how rows become claims."""
    if claims.empty:
        return ""
    sources = claims["source"][~claims["own"]].unique()
    return (
        f"The write-ups: {'; '.join(sources)}. A published sentence counts once, however many of "
        f"the {len(claims)} rows test it: it holds if all do, and fails if one does."
    )


def first_calls_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The operations that are hit; the others have no row of their own in the report."""
    return [
        (
            row["operation"],
            row["determinism"],
            str(row["threads"]),
            f"{row['differ']} of {row['processes']}",
            f"{percent(row['rate_low'])} – {percent(row['rate_high'])}",
            percent(row["elements"]),
            f"{row['max_ulp']:,}",
        )
        for row in table.to_dict("records")
        if row["differ"]
    ]


def noise_rows(study: StudyData, noise: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = noise.to_dict("records")
    return [
        _noise_row(row, name) for row, name in zip(rows, scenario_labels(study, rows), strict=True)
    ]


def _noise_row(row: dict[Hashable, Any], name: str) -> tuple[str, ...]:
    spread = (percent(row["accuracy_sd_low"]), percent(row["accuracy_sd_high"]))
    return (
        name,
        SOURCES[row["noise"]],
        format_agreement(row),
        figure(row["steps"]),
        with_detail(figure(row["loss_mean"]), "sd", percent(row["loss_sd_rel"])),
        percent(row["accuracy_mean"], 3),
        percent(row["accuracy_sd"]),
        f"{spread[0]} – {spread[1]}" if is_known(row["accuracy_sd_low"]) else DASH,
        percent(row["churn"]),
        figure(row["weight_rel_l2"], 2),
    )
