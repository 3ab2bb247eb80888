"""Claims are valid: those that are shipped, and each that a user may write."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.claims.judge import rule_function
from harness.config.collect import load_claims
from harness.core.claims import RULES, Claim
from harness.core.errors import UsageError
from harness.core.paths import CONF


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "guessed"}, "rule 'guessed'"),
        ({"needs": "tpu"}, "needs 'tpu'"),
        ({"cells": {"that": "x"}}, "names the cells"),
        ({"colour": "red"}, "colour"),
        ({"rule": "spread_above"}, "needs a limit"),
        ({"component": "mood"}, "component 'mood' must be one of rng"),
    ],
)
def test_an_invalid_claim_is_rejected(changes: dict[str, Any], message: str) -> None:
    """A claim with an invalid or missing entry raises an error that names the entry."""
    valid = {"name": "c", "source": "s", "says": "so", "rule": "identical", "cells": {"it": "x"}}
    with pytest.raises(UsageError, match=message):
        Claim.from_json({**valid, **changes})


def test_every_rule_has_a_function() -> None:
    """Every rule has a function, with a docstring unless its name says everything."""
    for rule in RULES:
        assert rule_function(rule).__doc__ or rule == "refused"


def test_shipped_claims_are_valid_and_have_distinct_names() -> None:
    """All shipped claims can be loaded, and no two have the same name."""
    names = [path.stem for path in (CONF / "claims").glob("*.yaml")]
    claims = [claim.name for claim in load_claims(names)]
    assert len(claims) == len(set(claims)) > 47


def test_each_expands_to_one_claim_per_entry() -> None:
    """A claim with a list `each` becomes one claim per entry, named after it."""
    claims = {claim.name: claim for claim in load_claims(["pytorch_note"])}
    assert "scenario.op=bincount" in claims["atomics-forward-bincount"].cells["it"]
    assert claims["atomics-backward-ctc_loss"].says.startswith("ctc_loss is")
    assert not any("each" in name for name in claims)
    assert claims["atomics-backward-ctc_loss"].sentence == "atomics-backward-*"
