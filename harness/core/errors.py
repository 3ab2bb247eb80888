"""Exceptions that end the program with a message instead of a traceback."""

from __future__ import annotations


class UsageError(Exception):
    """The request is invalid and nothing was created: exit status 2.

    The message says what is wrong, which value, what is allowed and what to do next. It is empty
    if it has already been printed.
    """


class StudyStoppedError(Exception):
    """The study cannot continue; everything measured so far is kept: exit status 3."""


class UnfinishedError(Exception):
    """The study lacks runs, so it cannot be judged: exit status 3."""


class ReportError(Exception):
    """The report could not be made; all runs are kept: exit status 3."""


class TrainingFailedError(RuntimeError):
    """A run of a compared function did not complete; the message includes its traceback."""


class ObserverError(Exception):
    """What observes a training failed; the training itself was not disturbed."""


class ProcessReplaced(BaseException):
    """A script must be started again in place of its process, with these variables.

    ``words`` is the command by which it asked for that, or None if its variables require it. It is
    no error: a script's ``except Exception`` does not stop it.
    """

    def __init__(self, words: list[str] | None, variables: dict[str, str]) -> None:
        super().__init__(words)
        self.words, self.variables = words, variables
