"""What CI reads of the gate: JUnit, annotations, a summary."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from harness.check import github, junit
from harness.check.console import format_line
from harness.check.findings import Finding, State
from harness.check.options import parse_options
from tests.check.conftest import LIMIT, check, made_up

FOUND = [
    Finding("mlp-full-cpu", "identical", State.holds, "no difference seen"),
    Finding("mlp-seed-cpu", LIMIT, State.skipped, "it is the baseline"),
    Finding("a:b,c", LIMIT, State.broken, "100 % | <b>, \x1b[0m\ud800 1_000\r\n::error::injected"),
]


def test_the_junit_file_has_a_case_for_each_finding(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gate.xml"
    gate = parse_options(["made-up", "--max-cost", "1.10", "--junit", str(path)])
    junit.write_junit(path, made_up(), gate, FOUND)
    (suite,) = ET.parse(path).getroot()  # noqa: S314 - our own file
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [(one.get("classname"), one.get("name")) for one in cases] == [
        (one.cell, one.requirement) for one in FOUND
    ]
    assert [[inner.tag for inner in one] for one in cases] == [
        ["system-out"],
        ["skipped"],
        ["failure"],
    ]
    assert cases[2][0].get("message") == FOUND[2].found.replace("\x1b", "�").replace("\ud800", "�")
    told = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert (told["study"], told["cpu"], told["torch"]) == ("made-up", "a <CPU> & more", "2.13.0")
    assert (told["max cost"], told["command"]) == ("1.1", "python -m harness scenario=mlp")


def unescaped(text: str) -> str:
    """As the runner does it: actions/runner, src/Runner.Common/ActionCommand.cs."""
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_an_annotation_is_one_command_whatever_it_says() -> None:
    text = github.annotation(FOUND[2])
    assert "\n" not in text
    head, _, message = text.removeprefix("::error ").partition("::")
    assert head == "title=a%3Ab%2Cc%3A cost at most 1.1"
    assert unescaped(message) == format_line(FOUND[2])
    assert "100 %25 | <b>" in message


def test_a_literal_percent_code_survives_the_runner() -> None:
    found = Finding("50%0A:x", "identical", State.broken, "%3A")
    title, _, message = github.annotation(found).removeprefix("::error title=").partition("::")
    assert unescaped(title) == "50%0A:x: identical"
    assert unescaped(message) == "broken: 50%0A:x: identical: %3A"


def test_the_summary_table_has_one_row_a_finding_with_the_broken_first() -> None:
    rows = [row for row in github.table(FOUND, "end").splitlines() if row.startswith("| ")]
    assert len(rows) == 2 + len(FOUND)
    assert rows[2].startswith("| broken | a:b,c | cost at most 1.1 | 100 % \\| &lt;b&gt;")
    assert "1\\_000" in rows[2]


def test_on_a_runner_annotations_and_a_summary_come_by_themselves(
    study: Path, tmp_path: Path
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    words = (str(study), "--require", "identical", "--scenario", "mlp", "--junit", "gate.xml")
    on_runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    done = check(tmp_path, *words, **on_runner)
    assert done.returncode == 1
    suites = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314 - our own file
    failures = int(suites.get("failures", ""))
    assert done.stdout.count("::error title=") == failures >= 1
    assert "\nbroken: " not in done.stdout
    text = page.read_text()
    assert text.startswith("before\n### harness check")
    assert text.count("| broken |") == failures
    assert "::error" not in check(tmp_path, *words, "--no-github", **on_runner).stdout
    nowhere = check(tmp_path, *words, GITHUB_STEP_SUMMARY=str(tmp_path / "gone" / "it.md"))
    assert nowhere.returncode == 1
    assert "cannot be written" in nowhere.stderr


def test_a_junit_file_that_cannot_be_written_is_told(study: Path, tmp_path: Path) -> None:
    done = check(tmp_path, str(study), "--require", "identical", "--junit", str(tmp_path))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
