"""The pytest plugin: the fixture ``same_across_runs``, ``--reproducible`` and its mark.

Only pytest and the standard library are imported until a test needs more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.leaf_file import IN_RUN, REQUEST
from harness.core.spec import Determinism
from harness.worker.pipe import die_with_parent

if TYPE_CHECKING:
    from harness.testing.fixture import Same

MARK = "reproducible"
RECORDED = "golden value recorded"
PASSED = pytest.StashKey[bool]()
HELP = (
    "reproducible(runs=3, determinism='full', threads=None, timeout_s=600): with --reproducible, "
    "run the test in `runs` fresh processes under that determinism setting and compare the values "
    "it passes to same_across_runs"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(MARK, "reproducibility")
    group.addoption(
        "--reproducible",
        action="store_true",
        help="run each test marked `reproducible` several times, in fresh processes, and compare "
        "the values it passes to same_across_runs",
    )
    group.addoption(
        "--update-golden",
        action="store_true",
        help="record the values passed to same_across_runs, replacing existing golden values, "
        "even in CI",
    )
    parser.addini(
        "golden_limit_mb",
        "largest value, in MiB, whose tensors are stored in __reproducible__/; only digests are "
        "stored for larger values",
        default="1",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", HELP)
    if _run_folder() is not None:
        die_with_parent()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs last, after other hooks have deselected tests."""
    if not config.getoption("--reproducible") or _run_folder() is not None:
        return
    if not any(item.get_closest_marker(MARK) for item in items):
        return
    from harness.testing.pytest_item import IsolatedItem  # noqa: PLC0415 - NumPy only when needed

    items[:] = [IsolatedItem.of(item) if item.get_closest_marker(MARK) else item for item in items]


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """In a fresh run, apply the setting before any module of tests draws random numbers."""
    _apply_setting()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Apply it again, so that the test draws the same whatever its modules have drawn."""
    _apply_setting()


def _apply_setting() -> None:
    folder = _run_folder()
    if folder is None:
        return
    from harness.worker.torch_backend import settings  # noqa: PLC0415 - torch only in a fresh run

    document = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    settings.apply(Determinism.from_json(document["determinism"]))


@pytest.fixture
def same_across_runs(request: pytest.FixtureRequest) -> Generator[Same, None, None]:
    """Fail if a value's bits differ from its golden value: ``same_across_runs("weights", model)``.

    Golden values are stored in ``__reproducible__/`` next to the test file. A missing value is
    recorded once the test has passed.
    """
    same = _same_for(request)
    yield same
    if not request.node.stash.get(PASSED, False):
        return
    for name in same.finish():
        request.node.user_properties.append((RECORDED, f"{request.node.nodeid}: {name}"))


def _same_for(request: pytest.FixtureRequest) -> Same:
    from harness.testing.fixture import GoldenFixture, GoldenOptions, RecordingFixture  # noqa: PLC0415
    from harness.testing.golden import Golden  # noqa: PLC0415 - torch only when a test needs it
    from harness.testing.pytest_item import name_in_file  # noqa: PLC0415

    folder = _run_folder()
    if folder is not None:
        return RecordingFixture(folder)
    config = request.config
    options = GoldenOptions(
        test=name_in_file(request.node),
        node=request.node.nodeid,
        updates=config.getoption("--update-golden"),
        in_ci=os.environ.get("CI", "").lower() not in ("", "0", "false"),
        limit_mb=float(config.getini("golden_limit_mb")),
    )
    return GoldenFixture(Golden(request.path), options)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    folder = _run_folder()
    if folder is not None and report.skipped:
        from harness.testing.pytest_item import SKIPPED  # noqa: PLC0415

        (folder / SKIPPED).write_text(report.longreprtext or "skipped", encoding="utf-8")
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List newly recorded values, so that whoever commits them knows what they claim."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    recorded = [
        text
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, text in report.user_properties
        if name == RECORDED
    ]
    if not recorded:
        return
    terminalreporter.section("golden values recorded in __reproducible__/")
    for text in recorded:
        terminalreporter.write_line(text)
    terminalreporter.write_line(
        "later runs are compared with these values: commit them with the tests"
    )


def _run_folder() -> Path | None:
    """Return the folder of this run if this process is one of the runs that are compared."""
    folder = os.environ.get(IN_RUN)
    return Path(folder) if folder else None
