"""Whether runs were disturbed by their machine, in words."""

from __future__ import annotations

from bench.analysis.cases import Case
from bench.analysis.disturbance import LIMITS, disturbances, drift
from bench.report.tables import ending
from bench.schema import RunRecord
from bench.store import Stored

NOTE = (
    "Disturbed: the machine was not the same before and after a run, or not the run's alone; ftbench table conditions "
    "says why. Such runs are not left out."
)


def disturbed(case: Case) -> list[tuple[Stored, list[str]]]:
    """Return the runs that went well and were disturbed, each with its reasons."""
    found = ((run, disturbances(run.record)) for run in case.ok)
    return [(run, reasons) for run, reasons in found if reasons]


def mark(case: Case) -> str:
    """Return ", 1 disturbed" to stand behind a count of runs; empty when none was."""
    count = len(disturbed(case))
    return f", {count} disturbed" if count else ""


def share(case: Case) -> str:
    """Say how many of a case's good runs were disturbed, and of how many nobody can tell; or how the bad ones ended."""
    if not case.ok:
        return ending(case)
    unknown = sum(not watched(run.record) for run in case.ok)
    if unknown == len(case.ok):
        return "not known"
    told = f"{len(disturbed(case))} of {len(case.ok)}"
    return f"{told}, {unknown} not known" if unknown else told


def said(run: Stored) -> str:
    """Say of one run what disturbed it, "no" if nothing did, or that nobody can tell."""
    return "; ".join(disturbances(run.record)) or ("no" if watched(run.record) else "not known")


def watched(record: RunRecord) -> bool:
    """Tell whether a run holds anything that could have shown a disturbance."""
    return drift(record) is not None or any(limit.metric in record.metrics for limit in LIMITS)
