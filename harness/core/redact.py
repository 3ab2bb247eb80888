"""Redaction of private data in everything that is written: records, log tails, reports."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path

from harness.core.protocol import COPY_PREFIX

# `tokens` and `tokenizer` do not match: they are ordinary numbers and names in a training.
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
# Set where a run has another home folder or host name than the machine (harness/factors).
REAL_HOME, REAL_HOST = "HARNESS_HOME", "HARNESS_HOST"
# A script's sandbox: two levels below a temporary folder.
PRIVATE_COPY = re.compile(rf"[^\s\"'=:]*/{COPY_PREFIX}\d+-\w+(?:/[^/\s\"'=:]+){{2}}")


def redact(text: str) -> str:
    """Return the text without secrets, home, working directory, user name and host name."""
    text = PRIVATE_COPY.sub(".", mask_secrets(text))
    real_home, real_host = os.environ.get(REAL_HOME, ""), os.environ.get(REAL_HOST, "")
    for path, short in [(str(Path.cwd()), "."), (real_home, "~"), (str(Path.home()), "~")]:
        if len(path) > 1:
            text = text.replace(path, short)
    for name in (user_name(), socket.gethostname(), real_host):
        if len(name) > 3 and name != "root":  # a shorter name would match inside words
            text = re.sub(rf"\b{re.escape(name)}\b", "***", text)
    return text


def mask_secrets(text: str) -> str:
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry, as in a container
        return ""


def portable_path(path: Path) -> str:
    """Return a path relative to the working directory, else to home (``~/``), else absolute."""
    full = path.resolve()
    for base, prefix in [(Path.cwd(), ""), (Path.home(), "~/")]:
        if full.is_relative_to(base):
            return f"{prefix}{full.relative_to(base)}"
    return str(full)
