"""The report of a perturbation says what was found, on what evidence, and what was not varied."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.content.dependence import dependence_of

DEPENDS, INDEPENDENT = "depends", "no dependence seen"


def factor(title: str, finding: str = INDEPENDENT, **changes: Any) -> dict[str, Any]:
    known = {
        "group": "surroundings",
        "agreeing": [f"another {title}"],
        "pairs": 5,
        "rate": 0.45,
        "reason": "",
    }
    return {"title": title, "finding": finding, "skipped": {}, **known, **changes}


def difference(*words: str, **changes: Any) -> dict[str, Any]:
    known = {
        "words": words,
        "what": [f"with {word}" for word in words],
        "cell": "cell",
        "finding": DEPENDS,
        "differing": 5,
        "agreeing": 5,
        "runs": 5,
        "own_differing": 0,
        "own_runs": 10,
        "p": 0.0003,
        "first_steps": {"start": 0, "loss": 4, "end": 9},
        "failure": "",
        "diagnose": f"python -m harness diagnose diagnose.factor={words[0]}",
    }
    return {**known, **changes}


def document(**changes: Any) -> dict[str, Any]:
    known = {
        "runs": 10,
        "own": "none of 10 processes differs",
        "is_steady": True,
        "failure": "",
        "level": 0.001,
        "factors": {
            "umask": factor("umask"),
            "clock": factor("clock", DEPENDS, pairs=0, rate=1.0),
            "home": factor("home folder", "not varied", pairs=0, reason="no folder"),
            "seed_torch": factor("seed of torch", DEPENDS, group="seeds", pairs=0),
        },
        "differences": [difference("clock:ahead"), difference("seed_torch:other")],
        "diagnose": "python -m harness diagnose scenario=mlp determinism=seed",
    }
    return {**known, **changes}


def test_another_study_has_no_such_section() -> None:
    """Without the document, there is nothing to say."""
    assert dependence_of(None) is None


def test_the_headline_names_factors_and_seeds_apart() -> None:
    """Seeds are expected to matter; the weakest evidence stands beside what was not seen."""
    report = dependence_of(document())
    assert report is not None
    assert report.headline == (
        "The bits of this training depend on: clock. No dependence seen on 1 other factor "
        "(5 runs or more with it agree). 1 factor was not varied. Seeds that matter: "
        "seed of torch."
    )


def test_rows_have_the_evidence_and_those_that_matter_come_first() -> None:
    """What was not varied has a reason in place of evidence."""
    report = dependence_of(document())
    assert report is not None
    (command,) = [one for one in report.sentences if "operation" in one]
    assert "diagnose.factor=clock:ahead" in command  # but none for a seed
    assert report.rows == [
        (
            "clock",
            "depends",
            "with clock:ahead: 5 of 5 runs differ, and 0 of 10 without",
            "before step 1",
        ),
        (
            "seed of torch (seed_torch)",
            "depends",
            "with seed_torch:other: 5 of 5 runs differ, and 0 of 10 without",
            "before step 1",
        ),
        ("umask", "no dependence seen", "another umask: 5 runs agree (rate ≤ 45 %)", "–"),
        ("home folder (home)", "not varied", "no folder", "–"),
    ]


@pytest.mark.parametrize(("tried", "ignores"), [(4, True), (1, False)])
def test_a_training_that_ignores_its_seeds_is_reported(tried: int, ignores: bool) -> None:
    """No seed changes the result, which is a fault, too; to say so, all must have been tried."""
    factors = {f"seed_{n}": factor(f"seed {n}", group="seeds") for n in range(tried)}
    report = dependence_of(document(factors=factors, differences=[]))
    assert report is not None
    everything = "No other seed changes the result: this training ignores its seeds."
    assert report.headline == (everything if ignores else "No dependence seen on the seed 0.")


def test_a_training_that_depends_on_nothing_says_so_once() -> None:
    """With how many factors were varied."""
    report = dependence_of(document(factors={"umask": factor("umask")}, differences=[]))
    assert report is not None
    assert report.headline == "No dependence seen on 1 factor (5 runs or more with it agree)."


def test_nothing_is_said_of_factors_that_were_not_varied() -> None:
    """A study of them alone has no result."""
    factors = {"home": factor("home folder", "not varied", pairs=0, reason="no folder")}
    report = dependence_of(document(factors=factors, differences=[]))
    assert report is not None
    assert report.headline == "No factor could be varied."


def test_factors_that_matter_together_are_one_sentence() -> None:
    """Each alone has no effect; without certainty, they only may."""
    both = ("clock:ahead", "umask:077")
    report = dependence_of(document(differences=[difference(*both)]))
    assert report is not None
    (sentence,) = [one for one in report.sentences if "only together" in one]
    assert sentence == (
        "With clock:ahead and with umask:077 matter only together: 5 of 5 runs differ, and 0 of 10 "
        "without."
    )
    unsure = dependence_of(document(differences=[difference(*both, finding="undecided")]))
    assert unsure is not None
    assert any("may matter only together" in one for one in unsure.sentences)


@pytest.mark.parametrize("finding", ["inconclusive", "undecided"])
def test_a_training_that_differs_by_itself_says_so(finding: str) -> None:
    """A factor counts only above its own rate."""
    factors = {"umask": factor("umask", finding, pairs=0)}
    report = dependence_of(
        document(is_steady=False, own="all 10 processes differ", factors=factors, differences=[])
    )
    assert report is not None
    assert "Without perturbation, all 10 processes differ" in report.sentences[0]
    assert report.rows[0][1] == finding
    assert ("harness diagnose" in report.headline) == (finding == "inconclusive")


def test_a_training_that_differs_by_itself_is_compared_by_what_agrees() -> None:
    """All its runs differ, but those with one thread agree: that they differ says nothing."""
    factors = {"threads": factor("number of threads", DEPENDS, group="alone", pairs=0)}
    found = difference("threads:1", own_differing=9)
    report = dependence_of(document(is_steady=False, factors=factors, differences=[found]))
    assert report is not None
    ((_, _, evidence, _),) = report.rows
    assert evidence == "with threads:1: 5 of 5 runs agree with one another, and none without"


def test_a_race_says_how_much_sooner_it_shows() -> None:
    """From a lower bound with the factor and an upper one without it, so that neither flatters."""
    factors = {"delays": factor("delays between threads", "depends", group="schedule", pairs=0)}
    found = difference("delays:random", differing=12, runs=30)
    report = dependence_of(document(runs=30, factors=factors, differences=[found]))
    assert report is not None
    (sentence,) = [one for one in report.sentences if "sooner" in one]
    assert sentence == (
        "With with delays:random, at least 25 % of processes have another result; without, at most "
        "9.8 % (95 % confidence each). So this difference shows at least 2.5 times sooner than by "
        "plain repetition."
    )


def test_a_training_that_fails_has_no_answer() -> None:
    """Its failure is the headline."""
    report = dependence_of(document(factors={}, failure="crashed: ValueError: no data"))
    assert report is not None
    assert (
        report.headline == "Without perturbation, the training fails: crashed: ValueError: no data."
    )


def test_what_an_evaluation_prints_is_said_not_to_be_compared() -> None:
    """Only where it was varied, and seemed not to matter."""
    factors = {"evaluation_batch": factor("evaluation batch size")}
    report = dependence_of(document(factors=factors, differences=[]))
    assert report is not None
    assert any("a metric that it only prints" in sentence for sentence in report.sentences)
    without = dependence_of(document())
    assert without is not None
    assert not any("only prints" in sentence for sentence in without.sentences)
