"""Findings as JUnit XML, which CI servers show as tests: a case per cell and requirement."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.analysis.study_data import StudyData
from harness.check.findings import Finding, State
from harness.check.options import GateOptions
from harness.core.command_line import command
from harness.core.errors import UsageError
from harness.report.content.study_facts import machine_rows

# Characters that XML 1.0 excludes, even escaped: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(
    path: Path, study: StudyData, gate: GateOptions, findings: Sequence[Finding]
) -> None:
    """Raises UsageError if the file cannot be written."""
    tree = ET.ElementTree(_build_document(study, gate, findings))
    ET.indent(tree)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(f"--junit {path} cannot be written: {error.strerror}") from error


def _build_document(study: StudyData, gate: GateOptions, findings: Sequence[Finding]) -> ET.Element:
    counts = {
        "tests": len(findings),
        "failures": sum(finding.state is State.broken for finding in findings),
        "errors": 0,
        "skipped": sum(finding.state is State.skipped for finding in findings),
    }
    attributes = {"name": "harness check", **{name: str(n) for name, n in counts.items()}}
    suites = ET.Element("testsuites", attributes)
    suite = ET.SubElement(suites, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in _suite_properties(study, gate):
        ET.SubElement(properties, "property", name=name, value=_to_xml_text(value))
    suite.extend(map(_test_case, findings))
    return suites


def _suite_properties(study: StudyData, gate: GateOptions) -> list[tuple[str, str]]:
    """Describe the study, the requirements, and the machine that the study ran on."""
    options = [("require", gate.require), ("min runs", gate.min_runs), ("max cost", gate.max_cost)]
    return [
        ("study", study.name),
        ("created", study.manifest["created"]),
        ("command", command(study.manifest["words"])),
        *((name, str(value)) for name, value in options if value is not None),
        *machine_rows(study),
    ]


def _test_case(finding: Finding) -> ET.Element:
    """Name a case by cell and requirement only, so that servers can track it across studies."""
    text = _to_xml_text(finding.found)
    case = ET.Element("testcase", classname=_to_xml_text(finding.cell), name=finding.requirement)
    if finding.state is State.broken:
        ET.SubElement(case, "failure", type=finding.requirement, message=text).text = text
    elif finding.state is State.skipped:
        ET.SubElement(case, "skipped", message=text)
    else:
        ET.SubElement(case, "system-out").text = text
    return case


def _to_xml_text(text: str) -> str:
    """Replace characters that no XML parser accepts: the message of a training may hold any."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
