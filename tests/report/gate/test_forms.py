"""A comparison in every form that people and programs read, also where its words try to be markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace as replace_fields
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.gate.comparison import Comparison, Side, compare
from bench.analysis.gate.verdicts import Finding, Verdict
from bench.report.gate import document, github, junit, verdict_table
from bench.report.render import to_text
from bench.schema import Failure, Status
from bench.schema.comparison import COMPARISON_FORMAT, decode
from bench.schema.config import configure
from bench.store import Unreadable
from tests.comparisons import cases, sides, slower


@pytest.fixture(scope="module")
def mixed() -> Comparison:
    """Six cases: one slower, one broken, one gone, the rest unchanged."""
    slow, dead, gone = (config.case for config in cases()[:3])
    failure = Failure(phase="train", message="no kernel: a, b\n100 % | `x` <y>")

    def change(made):
        if made.case == dead:
            return replace(made, status=Status.ERROR, failure=failure, metrics={}, series={}, items={})
        return slower(made, 1.1) if made.case == slow else made

    old, new = sides(change=change)
    return compare(old, Side("new", tuple(run for run in new.runs if run.record.case != gone)))


def odd(words: str, count: int = 1) -> Comparison:
    """A comparison whose findings say `words` wherever they can."""
    found = [
        Finding(words, words, "train.step_seconds", verdict, words, asked=words)
        for verdict in Verdict
        for _ in range(count)
    ]
    side = Side(words, (), (Unreadable(Path("x.json"), words),))
    return Comparison(side, side, tuple(found), strict=False)


def test_the_table_shows_what_is_urgent_first(mixed):
    """Broken, then regressed, then missing; what is unchanged is counted and shown only on request."""
    text = to_text(verdict_table.table(mixed))
    order = [text.index(word) for word in ("broken", "regressed", "missing")]
    assert order == sorted(order)
    assert "unchanged and not shown" in text
    rows = verdict_table.table(mixed, unchanged=True).rows
    assert len(rows) == len(mixed.findings)


def test_a_check_of_a_kernel_is_named_by_what_was_computed(mixed):
    """Names of such cases differ in their digits alone; tables and charts say which operation and format it was."""
    asked = configure(model="none", method="full", task="none", study="numerics", operation="merge", columns=100)
    found = Finding("numerics-none", "cpu", "numerics.wrong", Verdict.IMPROVED, "", asked=asked.asked)
    row = verdict_table.findings_table("", [found]).rows[0]

    assert row["case"].value == "numerics-none (operation=merge, format=nf4, columns=100)"
    assert configure(model="smollm2-135m", method="lora", task="addition").asked == ""
    assert {one.asked for one in mixed.findings} == {""}


def test_the_json_holds_every_finding_with_its_runs(mixed):
    """Programs find each verdict, its numbers in base units, and a way back to the runs on both sides."""
    told = json.loads(document.as_json(mixed))
    assert told["format"] == COMPARISON_FORMAT
    assert decode(document.as_json(mixed).encode()).counts == told["counts"]
    assert told["ending"] == "worse"
    assert len(told["findings"]) == len(mixed.findings)
    slower_one = next(one for one in told["findings"] if one["verdict"] == "regressed")
    assert slower_one["change"]["value"] == pytest.approx(0.1, abs=0.03)
    assert len(slower_one["old_runs"]) == len(slower_one["new_runs"]) == 10
    assert all(0 not in (one.get("old", 1), one.get("new", 1)) for one in told["findings"] if one["metric"] == "state")


def test_junit_counts_failures_errors_and_skips(mixed):
    """A build server shows what is worse as failures, what was lost as errors, and one test a case and metric."""
    suite = Xml.fromstring(junit.as_junit(mixed))  # noqa: S314
    failures = [case for case in suite if case.find("failure") is not None]
    assert {case.get("name") for case in failures} == {"state", "train.step_seconds"}
    assert int(suite.get("failures")) == len(failures) == 2
    assert int(suite.get("errors")) == 1
    assert int(suite.get("tests")) == len(suite) == len(mixed.findings)
    slower_one = next(case for case in failures if case.get("name") == "train.step_seconds")
    told = {one.get("name"): one.get("value") for one in slower_one.iter("property")}
    assert told["verdict"] == "regressed"
    assert float(told["change"]) == pytest.approx(0.1, abs=0.03)


@given(st.text(max_size=60))
def test_no_words_break_the_forms(words):
    """Whatever an error says, XML parses, JSON parses, a workflow command stays one line, a table keeps its columns."""
    told = odd(words)
    Xml.fromstring(junit.as_junit(told).encode())  # noqa: S314
    json.loads(document.as_json(told))
    for line in github.commands(told).rstrip("\n").split("\n"):
        assert line.startswith("::")
        assert line.count("::") >= 2
    table = [line for line in github.comment(told).split("\n") if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_annotations_are_few_enough_to_be_shown():
    """Of thirty failures nine are annotated and the rest counted: GitHub shows ten of a kind."""
    lines = github.commands(odd("words", count=30)).splitlines()
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == 11, "and one that says how it ended: with a file that cannot be read"
    assert errors[-2].endswith("::and 81 more")


def test_properties_of_a_command_are_escaped():
    """A colon or a comma in a title would end it."""
    line = next(line for line in github.commands(odd("a:b,c%\nd")).splitlines() if line.startswith("::error"))
    title, _, message = line.removeprefix("::error title=").partition("::")
    assert "," not in title
    assert title.count(":") == 0
    assert message.endswith("a:b,c%25%0Ad: a:b,c%25%0Ad")


@pytest.mark.parametrize("files", [1, 3000])
def test_a_comment_fits_github(files):
    """Thousands of rows, or of unreadable files, are cut to what a comment holds, and what is left out is counted."""
    told = odd("a case with a long name " * 4, count=400)
    side = Side("side", (), tuple(Unreadable(Path(f"a-long-folder-name/{n}.json"), "not JSON") for n in range(files)))
    text = github.comment(replace_fields(told, old=side))
    assert len(text) <= 65_536
    assert "rows left out" in text
    assert "could not be read" in text


def test_an_interval_is_shown_with_a_change(mixed):
    """The change of a slower step stands with its interval, since alone it says nothing about how sure it is."""
    (row,) = [row for row in verdict_table.table(mixed).rows if row["verdict"].text == "regressed"]
    assert re.fullmatch(r"\+\d+\.\d\d% \(\+\d+\.\d\d% to \+\d+\.\d\d%\)", row["change"].text)
