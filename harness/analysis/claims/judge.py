"""The claims table: whether each claim holds in this study, does not, or cannot be decided.

A rule reads the cells that the claim names and returns a ruling. To call results identical, a rule
needs at least ``MIN_RUNS`` runs and reports the bound. A fix is judged only if the untreated cell
varies.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harness.analysis.claims import exact_rules, statistical_rules
from harness.analysis.claims.ruling import Answer, Cells, Rows, Ruling
from harness.analysis.study_data import StudyData
from harness.core.claims import RULES, Claim


def claims_table(study: StudyData, cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each claim, with the cells that decide it; empty if the study has none."""
    rows = []
    table = {
        str(row["cell"]): {str(key): value for key, value in row.items()}
        for row in cells[~cells["twin"]].to_dict("records")
    }
    for document in study.manifest.get("claims", ()):
        if document["rule"] == "no_experiment":  # of an earlier version: nothing decides it
            continue
        claim = Claim.from_json({key: document[key] for key in document.keys() - {"why"}})
        ruling = _judge_claim(claim, study, table)
        rows.append(
            {
                "claim": claim.name,
                "source": claim.source,
                "sentence": claim.sentence or claim.name,
                "own": claim.own,
                "says": claim.says,
                "answer": str(ruling.answer),
                "why": ruling.why,
                "measured": ruling.measured,
                "published": claim.published,
                "scope": claim.scope,
                "here": _describe_scope(claim, study),
                "cells": " ".join(claim.cells.values()),
            }
        )
    return pd.DataFrame(rows)


def _describe_scope(claim: Claim, study: StudyData) -> str:
    """What this study tried the claim on, to compare with what the source speaks of."""
    cells = [cell for cell in study.cells if cell.id in claim.cells.values()]
    names = dict.fromkeys(cell.cell.scenario.label for cell in cells)
    frameworks = {cell.cell.scenario.framework for cell in cells} & {"keras"}
    version = study.manifest["software"].get("tensorflow" if frameworks else "torch", "")
    runs = max((len(cell.completed) for cell in cells), default=0)
    framework = f"{'TensorFlow' if frameworks else 'torch'} {version}".strip()
    return f"{', '.join(names)}; {study.manifest['device']}; {framework}; {runs} runs"


def _judge_claim(claim: Claim, study: StudyData, table: Rows) -> Ruling:
    if not claim.applies_to(study.manifest["device"]):
        return Ruling(
            Answer.open,
            f"the claim is about {claim.needs.upper()} devices; this study "
            f"ran on {study.manifest['device'].upper()}",
        )
    missing = study.manifest.get("missing", {})  # older manifests lack the key
    if why := next((missing[id_] for id_ in claim.cells.values() if id_ in missing), None):
        return Ruling(Answer.open, why)
    known = {cell.id: cell for cell in study.cells}
    cells = {role: known[id_] for role, id_ in claim.cells.items() if id_ in known}
    if cells.keys() != claim.cells.keys():
        return Ruling(Answer.open, "this study does not contain the cells of the claim")
    return rule_function(claim.rule)(claim, cells, table)


def rule_function(rule: str) -> Callable[[Claim, Cells, Rows], Ruling]:
    """Return the function named after the rule; raises KeyError if there is none."""
    for module in (exact_rules, statistical_rules):
        if rule in RULES and hasattr(module, rule):
            function: Callable[[Claim, Cells, Rows], Ruling] = getattr(module, rule)
            return function
    raise KeyError(rule)
