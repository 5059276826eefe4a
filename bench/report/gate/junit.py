"""A comparison as JUnit XML, which every build server shows: a test case is a case and a metric."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from bench.analysis.gate.comparison import Comparison
from bench.analysis.gate.verdicts import LOST, WORSE, Finding, Verdict

ILLEGAL = re.compile(r"[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""What XML 1.0 has no way to hold, not even escaped (section 2.2, Char)."""


def as_junit(comparison: Comparison) -> str:
    """Write failures for what is worse, errors for what could not be compared or read, skips for the inconclusive."""
    name = _legal(f"{comparison.old.name} against {comparison.new.name}")
    suite = Xml.Element("testsuite", name=name)
    counted = {"failure": 0, "error": 0, "skipped": 0}
    for found in comparison.findings:
        case = Xml.SubElement(
            suite, "testcase", classname=_legal(f"{found.device}.{found.case}"), name=_legal(found.metric)
        )
        _properties(case, found)
        if end := _end(found):
            counted[end] += 1
            Xml.SubElement(case, end, message=_legal(f"{found.verdict}: {found.why}"))
    for file in {file.path: file for side in (comparison.old, comparison.new) for file in side.unreadable}.values():
        counted["error"] += 1
        case = Xml.SubElement(suite, "testcase", classname="records", name=_legal(file.path.name))
        Xml.SubElement(case, "error", message=_legal(file.reason))
    ends = {"failures": counted["failure"], "errors": counted["error"], "skipped": counted["skipped"]}
    for attribute, count in {"tests": len(suite), **ends}.items():
        suite.set(attribute, str(count))
    Xml.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(suite, encoding="unicode") + "\n"


def _end(found: Finding) -> str | None:
    if found.verdict in WORSE and not found.acknowledged:
        return "failure"
    if found.verdict in LOST:
        return "error"
    return "skipped" if found.verdict is Verdict.INCONCLUSIVE else None


def _properties(case: Xml.Element, found: Finding) -> None:
    numbers = {"old": found.old, "new": found.new, "pairs": found.pairs or None, "pairs_needed": found.needed}
    if found.change:
        numbers |= {"change": found.change.value, "change.low": found.change.low, "change.high": found.change.high}
    known = {"verdict": found.verdict.value, **{name: number for name, number in numbers.items() if number is not None}}
    if found.asked:
        known["asked"] = found.asked
    holder = Xml.SubElement(case, "properties")
    for name, fact in known.items():
        Xml.SubElement(holder, "property", name=name, value=_legal(str(fact)))


def _legal(text: str) -> str:
    return ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
