"""How numbers are made: kinds, intervals, metrics, methods; what pages keep to."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.guide import CITATION
from bench.report.site.assembly import whole
from bench.schema.catalogue import METHODS
from bench.schema.metrics import METRICS

PATH = "method.html"


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page."""
    yield PATH, whole("method.html", PATH, results, metrics=METRICS, methods=METHODS, citation=CITATION)
