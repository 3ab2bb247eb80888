"""What the gate writes for CI: a JUnit file, annotations and a summary."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from harness.check import github, junit
from harness.check.console import format_line
from harness.check.findings import Finding, State
from harness.check.options import parse_options
from harness.core.exit_codes import FINDING
from tests.check.conftest import LIMIT, judge, make_study

FINDINGS = [
    Finding("mlp-full-cpu", "identical", State.holds, "no difference seen"),
    Finding("mlp-seed-cpu", LIMIT, State.skipped, "it is the baseline"),
    Finding("a:b,c", LIMIT, State.broken, "100 % | <b>, \x1b[0m\ud800 1_000\r\n::error::injected"),
]


def test_the_junit_file_has_a_case_for_each_finding(tmp_path: Path) -> None:
    """The JUnit file has the counts, a case for each finding, and facts about the study."""
    path = tmp_path / "new" / "gate.xml"
    gate = parse_options(["made-up", "--max-cost", "1.10", "--junit", str(path)])
    junit.write_junit(path, make_study(), gate, FINDINGS)
    (suite,) = ET.parse(path).getroot()  # noqa: S314 - our own file
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        (finding.cell, finding.requirement) for finding in FINDINGS
    ]
    assert [[child.tag for child in case] for case in cases] == [
        ["system-out"],
        ["skipped"],
        ["failure"],
    ]
    message = FINDINGS[2].found.replace("\x1b", "�").replace("\ud800", "�")
    assert cases[2][0].get("message") == message
    facts = {fact.get("name"): fact.get("value") for fact in suite.iter("property")}
    assert (facts["study"], facts["cpu"], facts["torch"]) == ("made-up", "a <CPU> & more", "2.13.0")
    assert (facts["max cost"], facts["command"]) == ("1.1", "python -m harness scenario=mlp")


def unescape(text: str) -> str:
    """Unescapes as the runner does (actions/runner, src/Runner.Common/ActionCommand.cs)."""
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_an_annotation_is_always_one_command() -> None:
    """A finding cannot end its annotation or start another command."""
    text = github.annotation(FINDINGS[2])
    assert "\n" not in text
    head, _, message = text.removeprefix("::error ").partition("::")
    assert head == "title=a%3Ab%2Cc%3A cost at most 1.1"
    assert unescape(message) == format_line(FINDINGS[2])
    assert "100 %25 | <b>" in message


def test_a_literal_percent_code_survives_the_runner() -> None:
    """Text that looks like an escape sequence is shown as it was written."""
    finding = Finding("50%0A:x", "identical", State.broken, "%3A")
    title, _, message = github.annotation(finding).removeprefix("::error title=").partition("::")
    assert unescape(title) == "50%0A:x: identical"
    assert unescape(message) == "broken: 50%0A:x: identical: %3A"


def test_the_summary_lists_broken_requirements_first() -> None:
    """The summary has a row for each finding, escaped for Markdown, with broken ones first."""
    rows = [row for row in github.table(FINDINGS, "end").splitlines() if row.startswith("| ")]
    assert len(rows) == 2 + len(FINDINGS)
    assert rows[2].startswith("| broken | a:b,c | cost at most 1.1 | 100 % \\| &lt;b&gt;")
    assert "1\\_000" in rows[2]


def test_github_output_is_automatic_on_a_runner(study: Path, tmp_path: Path) -> None:
    """On a runner, the gate writes annotations and a summary unless told not to."""
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    words = (str(study), "--require", "identical", "--scenario", "mlp", "--junit", "gate.xml")
    on_runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    done = judge(tmp_path, *words, **on_runner)
    assert done.returncode == FINDING
    suites = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314 - our own file
    failures = int(suites.get("failures", ""))
    assert done.stdout.count("::error title=") == failures >= 1
    assert "\nbroken: " not in done.stdout
    text = page.read_text()
    assert text.startswith("before\n### harness check")
    assert text.count("| broken |") == failures
    assert "::error" not in judge(tmp_path, *words, "--no-github", **on_runner).stdout
    nowhere = judge(tmp_path, *words, GITHUB_STEP_SUMMARY=str(tmp_path / "gone" / "it.md"))
    assert nowhere.returncode == FINDING
    assert "cannot be written" in nowhere.stderr


def test_an_unwritable_junit_file_is_an_error(study: Path, tmp_path: Path) -> None:
    """A JUnit file that cannot be written ends the gate with status 2 and a message."""
    done = judge(tmp_path, str(study), "--require", "identical", "--junit", str(tmp_path))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
