"""Secrets and private paths do not reach anything that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.redact import portable_path, redact

CANARY = "c4n4ry-7f3a9"


@pytest.mark.parametrize(
    "text",
    [
        f"WANDB_API_KEY={CANARY}",
        f"--token {CANARY}",
        f"--hf-token={CANARY} --epochs 3",
        f'password: "{CANARY}"',
        f"Authorization: Bearer {CANARY}",
        f"https://user:{CANARY}@example.org/repo",
        f"my_secret={CANARY}",
        f"key={CANARY}",
        f"--key {CANARY}",
        f"AWS_ACCESS_KEY={CANARY}",
        f"{{'api_key': '{CANARY}'}}",
        f'{{"token": "{CANARY}"}}',
        f"config={{'password': '{CANARY}'}}",
        "ghp_" + CANARY.replace("-", "A"),
    ],
)
def test_secrets_are_masked(text: str) -> None:
    """A secret is masked in every common notation."""
    assert CANARY not in redact(text)
    assert CANARY.replace("-", "A") not in redact(text)


def test_home_and_working_directory_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home directory becomes `~`, and the working directory becomes `.`."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir("/tmp")  # noqa: S108
    assert redact("at /home/somebody/x.py and /tmp/y.py") == "at ~/x.py and ./y.py"


def test_an_access_key_is_masked_by_its_format() -> None:
    """An AWS access key is masked even if nothing beside it says what it is."""
    assert redact("used AKIAIOSFODNN7EXAMPLE today") == "used *** today"


@pytest.mark.parametrize(
    "text",
    [
        "key error in dict key x",
        "RuntimeError: index_add_cuda_ does not have a deterministic implementation",
        "scenario.tokens=128",
        "tokenizer=bert",
    ],
)
def test_harmless_text_is_unchanged(text: str) -> None:
    """Text that only resembles a secret, such as `tokenizer=bert`, is kept."""
    assert redact(text) == text


def test_a_path_below_the_working_directory_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path inside the working directory is written relative to it."""
    monkeypatch.chdir(tmp_path)
    assert portable_path(tmp_path / "conf" / "a.py") == "conf/a.py"
