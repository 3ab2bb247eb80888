"""The verbs: plain first words that read studies, or make one for a question of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import conduct
from harness.errors import UsageError
from harness.request import Request
from harness.study import StudyFolder


def resume(words: Sequence[str]) -> int:
    from harness import bench  # noqa: PLC0415 - bench imports much that others do not need

    return bench.resume(study_in("resume", words).path)


def report(words: Sequence[str]) -> int:
    folder = study_in("report", words)
    status = conduct.report(folder.path)
    print(f"report: {folder.path / 'report.html'}")
    return status


def check(words: Sequence[str]) -> int:
    return conduct.check(words)


def publish(words: Sequence[str]) -> int:
    from harness.publish import publish as publish_study  # noqa: PLC0415

    print(f"published: {publish_study(study_in('publish', words))}")
    return 0


def list_(words: Sequence[str]) -> int:
    from harness.listing import listing  # noqa: PLC0415

    if words:
        raise UsageError(f"list takes no words, got {' '.join(words)}")
    print(listing())
    return 0


def diagnose(words: Sequence[str]) -> int:
    from harness.diagnose import diagnose as diagnose_cell  # noqa: PLC0415

    request = of_a_cell("diagnose", words)
    return diagnose_cell(request) if request else 0


def replay(words: Sequence[str]) -> int:
    from harness.replay import replay as replay_cell  # noqa: PLC0415

    request = of_a_cell("replay", words)
    return replay_cell(request) if request else 0


def of_a_cell(verb: str, words: Sequence[str]) -> Request | None:
    """Without baseline and control, which only a study needs; None where only help was asked."""
    from harness.config import collect  # noqa: PLC0415

    request = collect([*words, "study.baseline=null", "study.control=null"])
    if request is None:
        return None
    return dataclasses.replace(request, words=(verb, *request.words[: len(words)]))


def audit(words: Sequence[str]) -> int:
    """A study like any other, of every operation alone; its report has a table more."""
    from harness.bench import bench  # noqa: PLC0415
    from harness.config import collect  # noqa: PLC0415

    request = collect(["matrix=audit", *words])
    return bench(request) if request else 0


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "resume": resume,
    "report": report,
    "check": check,
    "diagnose": diagnose,
    "replay": replay,
    "audit": audit,
    "publish": publish,
    "list": list_,
}


def study_in(verb: str, words: Sequence[str]) -> StudyFolder:
    if len(words) != 1:
        raise UsageError(f"{verb} takes one study: python -m harness {verb} results/<id>")
    folder = StudyFolder(Path(words[0]))
    _ = folder.manifest  # raises where it is none
    return folder


def usage(word: str) -> int:
    raise UsageError(f"no verb '{word}': there are {', '.join(VERBS)}; overrides have a `=`, "
                     "as in `python -m harness scenario=cnn determinism=full`")  # fmt: skip
