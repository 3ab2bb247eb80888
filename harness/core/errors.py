"""What ends the program with a sentence instead of a traceback."""

from __future__ import annotations


class UsageError(Exception):
    """What was asked is wrong: exit status 2, and nothing was created.

    The message says what, which value, what is allowed and what to do next; an empty one means
    that the message has been printed already.
    """


class StudyStoppedError(Exception):
    """The study cannot go on, and everything measured so far is kept: exit status 3."""


class UnfinishedError(Exception):
    """A study lacks runs, so that nothing can be judged of it: exit status 3."""


class ReportError(Exception):
    """A report could not be made, of runs that are all kept: exit status 3."""


class TrainingFailedError(RuntimeError):
    """A function whose runs were to be compared did not come to its end; holds its traceback."""
