"""The findings as JUnit XML, which CI servers show as tests: one case a cell and requirement."""

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
from harness.report.content import machine_rows

# What XML 1.0 cannot hold, not even escaped: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, study: StudyData, gate: GateOptions, found: Sequence[Finding]) -> None:
    """Raises UsageError where the file cannot be written."""
    tree = ET.ElementTree(_build_document(study, gate, found))
    ET.indent(tree)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(f"--junit {path} cannot be written: {error.strerror}") from error


def _build_document(study: StudyData, gate: GateOptions, found: Sequence[Finding]) -> ET.Element:
    counts = {
        "tests": len(found),
        "failures": sum(one.state is State.broken for one in found),
        "errors": 0,
        "skipped": sum(one.state is State.skipped for one in found),
    }
    attributes = {"name": "harness check", **{name: str(n) for name, n in counts.items()}}
    suites = ET.Element("testsuites", attributes)
    suite = ET.SubElement(suites, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in _suite_properties(study, gate):
        ET.SubElement(properties, "property", name=name, value=_to_xml_text(value))
    suite.extend(_test_case(one) for one in found)
    return suites


def _suite_properties(study: StudyData, gate: GateOptions) -> list[tuple[str, str]]:
    """Which study was judged, by what, and where it was made."""
    asked = [("require", gate.require), ("min runs", gate.min_runs), ("max cost", gate.max_cost)]
    return [
        ("study", study.name),
        ("created", study.manifest["created"]),
        ("command", command(study.manifest["words"])),
        *((name, str(value)) for name, value in asked if value is not None),
        *machine_rows(study),
    ]


def _test_case(finding: Finding) -> ET.Element:
    """Named by cell and requirement alone, so that a server follows it from study to study."""
    found = _to_xml_text(finding.found)
    one = ET.Element("testcase", classname=_to_xml_text(finding.cell), name=finding.requirement)
    if finding.state is State.broken:
        ET.SubElement(one, "failure", type=finding.requirement, message=found).text = found
    elif finding.state is State.skipped:
        ET.SubElement(one, "skipped", message=found)
    else:
        ET.SubElement(one, "system-out").text = found
    return one


def _to_xml_text(text: str) -> str:
    """Without what no XML parser would take: a training's message may hold anything."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
