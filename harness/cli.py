"""The commands of `python -m harness`, and the study that plain overrides run.

Each function imports what it needs when it is called, so that `--help` and `list` stay fast.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.command_line import program, split_words
from harness.core.errors import UsageError
from harness.core.exit_codes import DONE, FAILED, INTERRUPTED
from harness.core.redact import redact
from harness.study import reporting, targets
from harness.study.folder import StudyFolder
from harness.study.request import Request


def study(words: Sequence[str]) -> int:
    """Run the study that the overrides describe: `python -m harness OVERRIDES`."""
    from harness.config.collect import collect  # noqa: PLC0415
    from harness.study.session import bench  # noqa: PLC0415

    request = collect(words)
    if request and request.launch.targets:
        folder, status = targets.run(request, words)
        return status or compare([f"--figure={folder}", str(folder)])
    return bench(_as_typed(request, words))[1] if request else DONE


def resume(words: Sequence[str]) -> int:
    from harness.study import session  # noqa: PLC0415

    if targets.named_targets(words):
        return targets.resume(Path(words[0])) or compare(words)
    return session.resume(study_in("resume", words).path)


def status(words: Sequence[str]) -> int:
    """Print which runs of a study are done and, on a cluster, where its jobs are."""
    from harness.study.engines.status import describe, describe_each  # noqa: PLC0415

    studies = targets.named_targets(words)
    print("\n".join(describe_each(studies) if studies else describe(study_in("status", words))))
    return DONE


def report(words: Sequence[str]) -> int:
    """Make a report: `report STUDY [--format md,html,tex,parquet]`."""
    from harness.core.sums import SUMS  # noqa: PLC0415

    paths: list[str] = []
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--format":
            options += [word, next(rest, "")]
        elif word.startswith("--format="):
            options.append(word)
        else:
            paths.append(word)
    folder = study_in("report", paths).path
    if options and (folder / SUMS).exists():
        raise UsageError(
            f"{folder} is published and holds only what `verify` makes again; copy it and remove "
            f"{SUMS} there for other formats"
        )
    status = reporting.report(folder, options)
    if not options:
        print(f"report: {folder / 'report.html'}")
    return status


def check(words: Sequence[str]) -> int:
    """Check a study, or run one of the command after `--` and check that."""
    from harness.check.options import parse_options, split_options  # noqa: PLC0415
    from harness.config.collect import collect  # noqa: PLC0415
    from harness.study.session import bench  # noqa: PLC0415

    if "--" not in words:
        return reporting.check(words)
    options, rest = split_options(words)
    gate = parse_options(["STUDY", *options])  # ends the program if they are invalid
    if gate.depends_only_on is not None:
        folder, status = _perturb(rest)
        return reporting.check([str(folder), *options]) if status in (DONE, FAILED) else status
    request = collect([*gate.runs_needed(rest), *rest])
    if request is None:  # Hydra only printed
        return DONE
    gate.check_answerable(request.runs.trace, request.runs.timing)
    folder, status = bench(_as_typed(request, ("check", *words)))
    return status if status == INTERRUPTED else reporting.check([str(folder), *options])


def publish(words: Sequence[str]) -> int:
    """Publish a study, or make the report of a published one again by this version."""
    from harness.core.paths import PUBLISHED  # noqa: PLC0415
    from harness.study import publish as publishing  # noqa: PLC0415

    force = "--force" in words
    folder = study_in("publish", [word for word in words if word != "--force"])
    if folder.path.resolve().parent == PUBLISHED.resolve():
        print(f"published again: {publishing.refresh(folder)}")
    else:
        print(f"published: {publishing.publish(folder, force)}")
    return DONE


def verify(words: Sequence[str]) -> int:
    """Recompute published studies from their records: all that are published if none is named."""
    from harness.core.paths import PUBLISHED  # noqa: PLC0415
    from harness.study.publish import index_is_current  # noqa: PLC0415

    studies = words or [str(path) for path in sorted(PUBLISHED.glob("*/"))]
    if not studies:
        raise UsageError(f"{PUBLISHED} has no study; `{program()} publish STUDY` adds one")
    status = reporting.verify(studies)
    if not words and not index_is_current():
        print(f"{PUBLISHED}/README.md does not list what the studies say", file=sys.stderr)
        return FAILED
    return status


def compare(words: Sequence[str]) -> int:
    """Compare the bits of the cells that studies or bundles share."""
    studies = targets.with_targets(words)
    if sum(not name.startswith("--") for name in studies) < 2:
        raise UsageError(f"compare takes two studies: {program()} compare results/A results/B")
    return reporting.compare(studies)


def bundle(words: Sequence[str]) -> int:
    """Pack a study into one file for somebody else."""
    from harness.study.publish import bundle as pack_study  # noqa: PLC0415

    print(f"bundle: {pack_study(study_in('bundle', words))}")
    return DONE


def site(words: Sequence[str]) -> int:
    """Make a static site of the published studies, in results/site if no folder is named."""
    from harness.core.paths import PUBLISHED, RESULTS  # noqa: PLC0415

    if len(words) > 1:
        raise UsageError(f"site takes one folder: {program()} site {RESULTS}/site")
    return reporting.site(PUBLISHED, Path(*words) if words else RESULTS / "site")


def mlflow(words: Sequence[str]) -> int:
    """Log a finished study to an MLflow server: `mlflow STUDY [--to URI]`."""
    return reporting.export(words)


def list_(words: Sequence[str]) -> int:
    from harness.config.catalog import catalog  # noqa: PLC0415

    if words:
        raise UsageError(f"list takes no arguments, got '{' '.join(words)}'")
    print(catalog())
    return DONE


def diagnose(words: Sequence[str]) -> int:
    from harness.diagnose.command import diagnose as diagnose_cell  # noqa: PLC0415

    return with_one_cell("diagnose", words, diagnose_cell)


def recipe(words: Sequence[str]) -> int:
    """Search the smallest set of switches; begins with `full_warm` if no setting is named."""
    from harness.diagnose.recipe import recipe as recipe_of_cell  # noqa: PLC0415
    from harness.diagnose.recipe_switches import with_setting  # noqa: PLC0415

    def rewrite(typed: Sequence[str]) -> Sequence[str]:
        # many short blocks say more of the costs of many sets than few long ones
        return ["timing.min_s=0.25", *with_setting(typed)]

    return with_one_cell("recipe", words, recipe_of_cell, rewrite)


def perturb(words: Sequence[str]) -> int:
    """Vary what a training should not depend on; with seeds alone if no setting is named."""
    return _perturb(words)[1]


def _perturb(words: Sequence[str]) -> tuple[Path, int]:
    """Return the folder of the study and the exit status."""
    from harness.diagnose.recipe_switches import with_setting  # noqa: PLC0415
    from harness.perturb.command import perturb as perturb_cell  # noqa: PLC0415
    from harness.perturb.dependence import SETTING  # noqa: PLC0415

    request = _one_cell(with_setting(words, default=SETTING))
    return perturb_cell(_as_typed(request, ("perturb", *words))) if request else (Path(), DONE)


def cost(words: Sequence[str]) -> int:
    """Time one switch from both ends: `cost scenario=cnn switch=NAME precision=0.01`."""
    from harness.diagnose.switch_cost import read_options  # noqa: PLC0415

    typed, answer = read_options(words)
    return with_one_cell("cost", words, answer, lambda _: typed)


def replay(words: Sequence[str]) -> int:
    from harness.config.program_command import split_replay  # noqa: PLC0415
    from harness.diagnose.replay import replay as replay_cell  # noqa: PLC0415

    return with_one_cell("replay", words, replay_cell, split_replay)


def audit(words: Sequence[str]) -> int:
    """Run a study of single operations, or of their first calls in a process."""
    options = {word for word in words if word.startswith("first_call=")}
    if unknown := options - {"first_call=true", "first_call=false"}:
        raise UsageError(f"{unknown.pop()}: must be first_call=true or first_call=false")
    first = "first_call=true" in options
    study_words = (
        ["matrix=first_call", "scenario=first_op"]
        if first
        else ["matrix=audit", "scenario=atomics"]
    )
    return study([*study_words, *(word for word in words if word not in options)])


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "resume": resume,
    "status": status,
    "report": report,
    "check": check,
    "diagnose": diagnose,
    "recipe": recipe,
    "cost": cost,
    "perturb": perturb,
    "replay": replay,
    "audit": audit,
    "publish": publish,
    "verify": verify,
    "bundle": bundle,
    "compare": compare,
    "site": site,
    "mlflow": mlflow,
    "list": list_,
}


PROGRAMS = ("python", "python3", "torchrun", "accelerate")  # typed without `--` before them


def run_verb(words: Sequence[str]) -> int:
    verb = VERBS.get(words[0])
    if words[0] in PROGRAMS or words[0].endswith(".py"):
        raise UsageError(f"put `--` before the command: {program()} -- {shlex.join(words)}")
    if verb is None:
        raise UsageError(
            f"unknown command '{words[0]}': the commands are {', '.join(VERBS)}; overrides contain "
            f"a `=`, as in `{program()} scenario=cnn determinism=full`"
        )
    if words[1:] in (["--help"], ["-h"]) and verb is not check:  # which has options of its own
        return study(["--help"])
    return verb(words[1:])


def with_one_cell(
    verb: str,
    words: Sequence[str],
    answer: Callable[[Request], int],
    rewrite: Callable[[Sequence[str]], Sequence[str]] = list,
) -> int:
    """Answer a request for one cell, without the baseline and control that only a study needs.

    ``rewrite`` turns a verb's own options into overrides.
    """
    request = _one_cell(rewrite(words))
    return answer(_as_typed(request, (verb, *words))) if request else DONE


def _one_cell(words: Sequence[str]) -> Request | None:
    """Return the request without baseline and control; None if Hydra only printed."""
    from harness.config.collect import collect  # noqa: PLC0415

    own, program_words = split_words(words)
    return collect([*own, "study.baseline=null", "study.control=null", *program_words])


def _as_typed(request: Request, words: Sequence[str]) -> Request:
    """The request with the words of the user, which the report repeats, but without secrets."""
    return dataclasses.replace(request, words=tuple(redact(word) for word in words))


def study_in(verb: str, words: Sequence[str]) -> StudyFolder:
    """Return the study that the words name; raises UsageError unless they name exactly one."""
    if len(words) != 1:
        raise UsageError(f"{verb} takes one study: {program()} {verb} results/<id>")
    folder = StudyFolder(Path(words[0]))
    _ = folder.manifest, folder.schedule  # raise if the folder is not a study
    return folder
