"""What `perturb` found: the factors on which the bits of a training depend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.binomial import divergence_rate_lower, divergence_rate_upper
from harness.core.steps import COMPONENTS
from harness.core.verdict import END, START
from harness.report.format import DASH, join_words, percent, plural

DEPENDS, INDEPENDENT = "depends", "no dependence seen"
UNDECIDED, INCONCLUSIVE, UNVARIED = "undecided", "inconclusive", "not varied"
ORDER = (DEPENDS, UNDECIDED, INCONCLUSIVE, INDEPENDENT, UNVARIED)
SEEDS = "seeds"  # the group of what a training should depend on
SCHEDULE = "schedule"  # that of factors which reorder what threads do
SOURCES = 4  # of random numbers, each with a seed
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
    if document["failure"]:
        return DependenceReport(_failure(document), [], [])
    return DependenceReport(
        headline=" ".join(_headlines(document)),
        sentences=[
            *_own_rate(document),
            *_together(document),
            *_sooner(document),
            *_operations(document),
            *_not_compared(document),
            *_test(document),
        ],
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
    found = {factor["finding"] for factor in document["factors"].values()}
    if INCONCLUSIVE in found and not document["is_steady"]:
        why = f"; find out why with `{document['diagnose']}`" if document["diagnose"] else ""
        yield f"Without perturbation, {document['own']}, which hides what most factors do{why}."
    if others := _titles(document, DEPENDS, seeds=False):
        yield f"The bits of this training depend on: {', '.join(others)}."
    if undecided := _titles(document, UNDECIDED, seeds=False):
        yield f"Undecided: {', '.join(undecided)}."
    independent = _without_seeds(document, INDEPENDENT)
    if independent:
        fewest = min(factor["pairs"] for factor in independent)
        with_each = "with each" if len(independent) > 1 else "with it"
        agree = f" ({fewest} runs or more {with_each} agree)" if document["is_steady"] else ""
        other = "other " * bool(others)
        yield f"No dependence seen on {plural(len(independent), f'{other}factor')}{agree}."
    if found != {UNVARIED} and (unvaried := _without_seeds(document, UNVARIED)):
        verb = "was" if len(unvaried) == 1 else "were"
        yield f"{plural(len(unvaried), 'factor')} {verb} not varied."
    yield from _seeds(document)
    if found == {UNVARIED}:
        yield "No factor could be varied."


def _seeds(document: Mapping[str, Any]) -> Iterator[str]:
    """That no seed matters can be said only if all were tried."""
    seeds = _titles(document, DEPENDS, seeds=True)
    independent = _titles(document, INDEPENDENT, seeds=True)
    if seeds:
        yield f"Seeds that matter: {join_words(seeds)}."
    elif len(independent) == SOURCES:
        yield "No other seed changes the result: this training ignores its seeds."
    elif independent:
        yield f"No dependence seen on the {join_words(independent)}."


def _without_seeds(document: Mapping[str, Any], finding: str) -> list[Mapping[str, Any]]:
    return [
        factor
        for factor in document["factors"].values()
        if factor["finding"] == finding and factor["group"] != SEEDS
    ]


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
        "and a factor is named only if its runs stand out from that."
    )


def _together(document: Mapping[str, Any]) -> Iterator[str]:
    for difference in document["differences"]:
        if len(difference["words"]) > 1:
            names = join_words(difference["what"])
            verb = "matter" if difference["finding"] == DEPENDS else "may matter"
            happens = _happens(difference, document)
            yield f"{names[0].upper()}{names[1:]} {verb} only together: {happens}."


def _sooner(document: Mapping[str, Any]) -> Iterator[str]:
    """How much sooner a race shows with a factor that reorders threads than by plain repetition."""
    for difference in document["differences"]:
        groups = {
            document["factors"][word.partition(":")[0]]["group"] for word in difference["words"]
        }
        if groups != {SCHEDULE} or difference["finding"] != DEPENDS or not document["is_steady"]:
            continue
        least = divergence_rate_lower(difference["differing"], difference["runs"])
        most = divergence_rate_upper(document["runs"])
        if least > most:
            yield (
                f"With {join_words(difference['what'])}, at least {percent(least)} of processes "
                f"have another result; without, at most {percent(most)} (95 % confidence each). So "
                f"this difference shows at least {least / most:.1f} times sooner than by plain "
                "repetition."
            )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for difference in document["differences"]:
        factor = document["factors"][difference["words"][0].partition(":")[0]]
        is_found = difference["finding"] == DEPENDS and difference["diagnose"]
        if is_found and factor["group"] != SEEDS and not difference["failure"]:
            yield (
                f"To find the first operation that differs with {difference['what'][0]}, run "
                f"`{difference['diagnose']}`."
            )


def _not_compared(document: Mapping[str, Any]) -> Iterator[str]:
    factor = document["factors"].get("evaluation_batch")
    if factor and factor["finding"] == INDEPENDENT:
        yield (
            "That the evaluation batch size makes no difference holds for the training, and for "
            "values that the program gives to `harness.observe`: a metric that it only prints or "
            "writes to a file is not compared."
        )


def _test(document: Mapping[str, Any]) -> Iterator[str]:
    if document["level"] == 1:  # nothing was compared
        return
    yield (
        "Factors of a group are varied together; a group that makes a difference is halved until "
        "the factors responsible are found. A factor is named if the p-value of Fisher's exact "
        f"test is at most {document['level']:.2g}, so that at most 5 % of studies name any factor "
        "falsely. Each seed, which should matter, is tested at 5 %."
    )


def _row(name: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    factor = document["factors"][name]
    first = "; ".join(map(_first, _differences(name, document)))
    return (
        _title_and_name(factor["title"], name),
        factor["finding"],
        evidence_of(name, document),
        first or DASH,
    )


def _title_and_name(title: str, name: str) -> str:
    """In words, and as it is typed."""
    return title if title == name else f"{title} ({name})"


def evidence_of(name: str, document: Mapping[str, Any]) -> str:
    """Return how many runs with a factor agree or differ, or why it was not varied."""
    factor, own = document["factors"][name], _differences(name, document)
    return "; ".join(_evidence(factor, own, document)) or DASH


def _differences(name: str, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in document["differences"] if _has(one, name)]


def _has(difference: Mapping[str, Any], name: str) -> bool:
    return any(word.partition(":")[0] == name for word in difference["words"])


def _evidence(
    factor: Mapping[str, Any], own: Sequence[Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[str]:
    for difference in own:
        yield f"{' and '.join(difference['what'])}: {_happens(difference, document)}"
    if factor["pairs"] and document["is_steady"]:
        yield f"{_runs(factor)} agree (rate ≤ {percent(factor['rate'])})"
    elif factor["pairs"]:
        yield f"{_runs(factor)} differ no more often than those without"
    if factor["reason"]:
        yield factor["reason"]
        return
    for word, reason in factor["skipped"].items():
        yield f"{word} was not varied: {reason}"


def _runs(factor: Mapping[str, Any]) -> str:
    each = " each" if len(factor["agreeing"]) > 1 else ""
    return f"{' and '.join(factor['agreeing'])}: {factor['pairs']} runs{each}"


def _happens(difference: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    failure = f" ({difference['failure']})" if difference["failure"] else ""
    own, own_runs = difference["own_differing"], difference["own_runs"]
    if document["is_steady"]:
        number, verb, without = difference["differing"], "differ", f"{own} of {own_runs}"
    else:
        number, verb = difference["agreeing"], "agree with one another"
        without = f"{own_runs - own} of {own_runs}" if own_runs - own > 1 else "none"
    return f"{number} of {difference['runs']} runs {verb}{failure}, and {without} without"


def _first(difference: Mapping[str, Any]) -> str:
    steps = difference["first_steps"]
    known = [place for place in PLACES if place in steps]
    if not known:
        return DASH
    first = min(known, key=lambda place: (steps[place], PLACES.index(place)))
    if first == START:
        return "before step 1"
    return f"step {steps[first]}, {first}"
