"""What `perturb` found: the factors on which the bits of a training depend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.command_line import command
from harness.core.steps import COMPONENTS
from harness.core.verdict import END, START
from harness.report.format import DASH, join_words, percent, plural

DEPENDS, INDEPENDENT = "depends", "no dependence seen"
UNDECIDED, HIDDEN, UNVARIED = "undecided", "cannot be told", "not varied"
ORDER = (DEPENDS, UNDECIDED, HIDDEN, INDEPENDENT, UNVARIED)
SEEDS = "seeds"  # the group of what a training should depend on
PLACES = (START, *COMPONENTS, END)


@dataclass(frozen=True)
class DependenceReport:
    headline: str
    sentences: list[str]
    rows: list[tuple[str, ...]]  # by legend.DEPENDENCE


def dependence_of(document: Mapping[str, Any] | None) -> DependenceReport | None:
    """Return what the report says of dependence.json; None if another command made the study."""
    if document is None:
        return None
    if not document["factors"]:
        return DependenceReport(_failure(document), [], [])
    return DependenceReport(
        headline=" ".join(_headlines(document)),
        sentences=[*_own_rate(document), *_together(document), *_test(document)],
        rows=[
            _row(name, document)
            for found in ORDER
            for name, factor in document["factors"].items()
            if factor["finding"] == found
        ],
    )


def _failure(document: Mapping[str, Any]) -> str:
    return f"Without perturbation, the training fails: {document['failure']}."


def _headlines(document: Mapping[str, Any]) -> Iterator[str]:
    if any(factor["finding"] == HIDDEN for factor in document["factors"].values()):
        diagnose = command(["diagnose", *document["words"][1:]])
        yield (
            f"Without perturbation, no two of {document['runs']} runs of this training agree, "
            f"which hides what most factors do; find out why with `{diagnose}`."
        )
    seeds = _titles(document, DEPENDS, seeds=True)
    others = _titles(document, DEPENDS, seeds=False)
    named = ", ".join(others) or "no factor that was varied"
    yield f"The bits of this training depend on: {named}."
    if undecided := _titles(document, UNDECIDED, seeds=False):
        yield f"Undecided: {', '.join(undecided)}."
    independent = [
        factor
        for factor in document["factors"].values()
        if factor["finding"] == INDEPENDENT and factor["group"] != SEEDS
    ]
    if independent:
        fewest = min(independent, key=lambda factor: factor["pairs"])
        yield (
            f"No dependence seen on {plural(len(independent), 'other factor')} "
            f"({fewest['pairs']} runs or more with each agree: at most "
            f"{percent(fewest['rate'])} of processes differ)."
        )
    tried = [factor for factor in document["factors"].values() if factor["group"] == SEEDS]
    if seeds:
        yield f"Seeds that matter: {join_words(seeds)}."
    elif tried:
        yield "No other seed changes the result: this training ignores its seeds."


def _titles(document: Mapping[str, Any], finding: str, seeds: bool) -> list[str]:
    return [
        factor["title"]
        for factor in document["factors"].values()
        if factor["finding"] == finding and (factor["group"] == SEEDS) == seeds
    ]


def _own_rate(document: Mapping[str, Any]) -> Iterator[str]:
    if document["is_steady"]:
        yield f"Without perturbation, all {document['runs']} runs agree."
        return
    yield (
        f"Without perturbation, {document['own']}: this training is not reproducible by itself, "
        "and a factor counts only if runs with it differ more often than that."
    )


def _together(document: Mapping[str, Any]) -> Iterator[str]:
    for difference in document["differences"]:
        if len(difference["words"]) > 1:
            yield (
                f"{join_words(difference['what']).capitalize()} matter only together: "
                f"{_happens(difference)}."
            )


def _test(document: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Factors of a group are varied together; a group that makes a difference is halved until "
        "its members are found. A factor is named if Fisher's exact test tells its runs from those "
        f"without it at the level {document['level']:.2g}, so that all tests together name one in "
        "vain in at most 5 % of studies."
    )


def _row(name: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    factor = document["factors"][name]
    own = [one for one in document["differences"] if _has(one, name)]
    return (
        factor["title"],
        factor["finding"],
        "; ".join(_evidence(factor, own, document)) or DASH,
        "; ".join(_first(one) for one in own) or DASH,
    )


def _has(difference: Mapping[str, Any], name: str) -> bool:
    return any(word.partition(":")[0] == name for word in difference["words"])


def _evidence(
    factor: Mapping[str, Any], own: Sequence[Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[str]:
    for difference in own:
        yield f"{' and '.join(difference['what'])}: {_happens(difference)}"
    if factor["pairs"] and document["is_steady"]:
        also = "other levels: " * bool(own)
        yield f"{also}{_runs(factor)} agree (rate ≤ {percent(factor['rate'])})"
    elif factor["pairs"]:
        yield f"{_runs(factor)} differ no more often than those without it"
    if factor["reason"]:
        yield factor["reason"]
        return
    for word, reason in factor["skipped"].items():
        yield f"{word.partition(':')[2]}: {reason}"


def _runs(factor: Mapping[str, Any]) -> str:
    of_each = f" of each of {factor['levels']} levels" if factor["levels"] > 1 else ""
    return f"{factor['pairs']} runs{of_each}"


def _happens(difference: Mapping[str, Any]) -> str:
    failure = f" ({difference['failure']})" if difference["failure"] else ""
    return f"{difference['differing']} of {difference['runs']} runs differ{failure}"


def _first(difference: Mapping[str, Any]) -> str:
    steps = difference["first_steps"]
    known = [place for place in PLACES if place in steps]
    if not known:
        return DASH
    first = min(known, key=lambda place: (steps[place], PLACES.index(place)))
    if first == START:
        return "before step 1"
    return f"step {steps[first]}, {first}"
