"""Everything to take away: tables as CSV, every record, their schema, hashes, licence, how to cite."""

from __future__ import annotations

from collections.abc import Iterator

from bench import __version__
from bench.analysis.results import Results
from bench.report.site.assembly import whole

PATH = "data.html"


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page."""
    devices: dict[str, int] = {}
    for case in results.cases:
        devices[case.device] = devices.get(case.device, 0) + len(case.runs)
    comparisons = [f"data/comparisons/{name}.json" for name in results.comparisons]
    yield PATH, whole("data.html", PATH, results, devices=devices, comparisons=comparisons, release=__version__,
                      predicted=bool(results.predicted), published=bool(results.published))  # fmt: skip
