"""What a server shows where there is no page."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.site.assembly import whole

PATH = "404.html"


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page."""
    yield PATH, whole("404.html", PATH, results)
