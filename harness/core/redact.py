"""Keeps what is private out of everything that is written: records, logs' tails, reports."""

from __future__ import annotations

import getpass
import re
import socket
from pathlib import Path

from harness.core.protocol import COPY_PREFIX

# `token` is not `tokens` or `tokenizer`: those are numbers and names of an ordinary training.
SENSITIVE = (
    r"[\w-]*(?:token(?!s\b|i[sz])|secret|passw(?:or)?d|(?:api|access|private|auth)[_-]?key"
    r"|credential)[\w-]*"
)
SECRETS = [
    (re.compile(r"(?i)(?<![\w-])(-{0,2}key)(\s*=\s*|(?<=--key)\s+)([^\s,;&]+)"), r"\1\2***"),
    # name=value, name: value, 'name': value and --name value
    (
        re.compile(rf"(?i)\b({SENSITIVE})([\"']?\s*[=:]\s*|\s+)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"),
        r"\1\2***",
    ),
    (re.compile(r"\b(?:ghp|gho|ghs|github_pat|hf|sk|xox[abp])[-_][A-Za-z0-9_-]{8,}"), "***"),
    (re.compile(r"\bA(?:KI|SI)A[0-9A-Z]{16}\b"), "***"),
    (re.compile(r"(?i)\bBearer\s+\S+"), "Bearer ***"),
    (re.compile(r"(\w+://)[^\s/@:]+:[^\s/@]+@"), r"\1***@"),
]
PRIVATE_COPY = re.compile(rf"[^\s\"'=:]*/{COPY_PREFIX}\d+-\w+")  # of a script's working directory


def redact(text: str) -> str:
    """The text without secrets, home, working directory, user or host name."""
    text = PRIVATE_COPY.sub(".", mask_secrets(text))
    for path, short in [(str(Path.cwd()), "."), (str(Path.home()), "~")]:
        if len(path) > 1:
            text = text.replace(path, short)
    for name in (user_name(), socket.gethostname()):
        if len(name) > 3 and name != "root":  # too short a name would be found inside words
            text = re.sub(rf"\b{re.escape(name)}\b", "***", text)
    return text


def mask_secrets(text: str) -> str:
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's bare uid has no name
        return ""


def portable_path(path: Path) -> str:
    """A path as it may be written down: relative to here, else to home, else as it is."""
    full = path.resolve()
    for base, prefix in [(Path.cwd(), ""), (Path.home(), "~/")]:
        if full.is_relative_to(base):
            return f"{prefix}{full.relative_to(base)}"
    return str(full)
