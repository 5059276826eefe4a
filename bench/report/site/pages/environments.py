"""One page for every environment that runs were made in: what the machine and its software were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from bench.analysis.results import Results
from bench.report.site.assembly import whole
from bench.report.site.templating import shortened
from bench.report.tables import case_page
from bench.schema import RunRecord
from bench.schema.catalogue import Scalar
from bench.schema.pairing import PREFIX
from bench.schema.record import MOMENTARY

MOST_CASES = 50
"""Cases that an environment's page leads to; Explore has all."""


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page of every environment that a record tells of."""
    told: dict[str, RunRecord] = {}
    cases: dict[str, dict[str, str]] = {}
    runs: dict[str, int] = {}
    for case in results.cases:
        for run in case.runs:
            path = path_of(run.record)
            if path:
                told.setdefault(path, run.record)
                cases.setdefault(path, {})[case.name] = case_page(case)
                runs[path] = runs.get(path, 0) + 1
    for path, record in sorted(told.items()):
        yield path, whole(
            "environment.html", path, results, device=record.device, lines=shortened(lasting(record)), runs=runs[path],
            cases=list(cases[path].items())[:MOST_CASES], left_out=max(0, len(cases[path]) - MOST_CASES),
        )  # fmt: skip


def path_of(record: RunRecord) -> str:
    """Return where the page of a record's environment lies; empty for a record that tells of none."""
    facts = lasting(record)
    if not facts:
        return ""
    said = json.dumps([record.device, facts], sort_keys=True)
    return f"environments/{hashlib.sha256(said.encode()).hexdigest()[:12]}.html"


def lasting(record: RunRecord) -> Mapping[str, Scalar]:
    """Return the facts of a record's environment that are not of a moment."""
    return {name: fact for name, fact in record.environment.items() if not _passes(name)}


def momentary(record: RunRecord) -> Mapping[str, Scalar]:
    """Return the facts of a record's environment that are of a moment, or of its place in a comparison."""
    return {name: fact for name, fact in record.environment.items() if _passes(name)}


def _passes(name: str) -> bool:
    return name in MOMENTARY or name.startswith(PREFIX)
