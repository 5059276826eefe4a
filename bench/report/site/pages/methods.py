"""Full, LoRA and QLoRA on every device and model: the guide's table T1 beside ours, with its charts."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.match import Comparison
from bench.analysis.results import Results
from bench.report import figures
from bench.report.comparison import comparison_table, device_label
from bench.report.findings import findings
from bench.report.site.assembly import laid_out
from bench.report.site.page import Page, Section
from bench.report.summary import failures, model_label

LEAD = (
    "The guide's comparison of section 4, with a column for full fine-tuning, once for every device and model. Its own "
    "cells stand beside ours; they are for other models, some of them for one of 70B parameters."
)


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the comparisons, and what failed."""
    sections = [section(found, number) for number, found in enumerate(results.matched)]
    failed = failures(results.cases)
    if failed.rows:
        sections.append(Section("failures", failed.title, "A run that dies is a result.", tables=(failed,)))
    empty = "No run of Full, LoRA or QLoRA yet. pytest suites/test_methods.py --benchmark-only measures them."
    yield from laid_out(Page("methods.html", "Full, LoRA or QLoRA?", LEAD, tuple(sections), empty=empty), results)


def title(found: Comparison) -> str:
    """Name a comparison by its model and device."""
    return f"{model_label(found.model)} on {device_label(found)}"


def section(found: Comparison, number: int) -> Section:
    """Lay out one comparison: findings, charts, table."""
    charts = (figures.tradeoff(found, f"tradeoff-{number}"), figures.phases(found, f"phases-{number}"))
    return Section(
        f"t1-{number}", title(found), findings=findings(found),
        charts=tuple(chart for chart in charts if chart is not None), tables=(comparison_table(found),), style="t1",
        kind=found.kind.value,
    )  # fmt: skip
