"""What others published, with their sources, never among ours."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.published import published
from bench.report.site.assembly import laid_out, shown
from bench.report.site.page import Page, Section

LEAD = (
    "Other people's measurements, each with its source and its own definition. They are not ours, were not checked by "
    "us, and stand in no table beside ours but where a prediction is held against them."
)


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the published numbers, a section a source."""
    found = published(results.cases)
    section = Section("published", found.title, tables=(found,), style="dense roomy", kind="published")
    empty = "No published number is kept here; ftbench import or ftbench cite keeps one."
    yield from laid_out(Page("published.html", "Published by others", LEAD, shown([section]), empty=empty), results)
