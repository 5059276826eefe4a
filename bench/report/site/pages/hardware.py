"""Devices side by side on matched cases, and what is predicted and published of cards that nobody ran here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from bench.analysis.cases import RAN
from bench.analysis.predictions import accuracy
from bench.analysis.results import Results
from bench.report import devices
from bench.report.fits import fits
from bench.report.predictions import against
from bench.report.published import published
from bench.report.site.assembly import laid_out, shown
from bench.report.site.page import Page, Section

LEAD = (
    "Two devices are compared on cases that both ran under the same versions, and on nothing else. Cards that nobody "
    "ran here have predictions and other people's numbers, which are labelled and stand apart."
)


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write a section for every pair of devices with work in common, then predictions and published numbers."""
    found = [
        Section("cards", "Cards that were not run: what fits", kind="predicted", style="dense roomy",
                tables=(fits(results.predicted),)),
        Section("published", "Cards that others measured", kind="published", style="dense roomy",
                tables=(published(results.cases),)),
    ]  # fmt: skip
    if results.checks:
        tables = (against(results.checks, accuracy(results.checks)),)
        found.append(Section("checks", "Predictions beside what is known", kind="derived", style="dense roomy",
                             tables=tables))  # fmt: skip
    empty = "No device has run anything yet."
    page = Page("hardware.html", "Hardware", LEAD, shown([*_pairs(results), *found]), empty=empty)
    yield from laid_out(page, results)


def _pairs(results: Results) -> Iterator[Section]:
    names = sorted({case.device for case in results.cases if case.kind in RAN})
    for number, (left, right) in enumerate(combinations(names, 2)):
        tables = tuple(devices.tables(results.cases, left, right, {}))
        if tables:
            kind = next(case.kind.value for case in results.cases if case.kind in RAN)
            yield Section(f"pair-{number}", f"{left} and {right}", tables=tables, kind=kind)
