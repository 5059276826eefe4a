"""What one prediction says: what a run would hold, when and why, and whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.cases import Case
from bench.analysis.peaks import highest, share_of_peak
from bench.analysis.predictions import Check, expected_error
from bench.analysis.values import NOT_COMPUTED, NOT_PREDICTED, is_answer
from bench.report.attribution import category_label
from bench.report.display import shown, unit_of
from bench.report.tables import Cell, Column, Table, case_page, sources
from bench.schema import RunRecord, Status
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES

PEAKS = {
    "train.peak_allocated": "tensors",
    "train.peak_reserved": "reserved",
    "train.peak_process": "reserved + outside torch",
}
LARGEST = "predict.largest_batch"
SHOWN_PARTS = 3
"""How many categories of the peak a short row names."""


def forecast(case: Case, found: Sequence[Check]) -> Table:
    """Everything a prediction says of one run, one row a statement; a run that does not fit is a forecast too."""
    record = told(case)
    said: dict[str, Cell] = {"fits": Cell(fit(record), kind=case.kind.value)}
    if is_answer(record):
        said |= {f"{label}, training": number(case, name) for name, label in PEAKS.items()}
        said["the card has for torch"] = number(case, "predict.capacity")
        moment, operation = (record.resolved.get(f"peak.{name}", "unknown") for name in ("moment", "operation"))
        said["peak of training in"] = Cell(f"{moment}, at {operation}")
        said["largest parts of the peak"] = Cell(largest_parts(record), kind=case.kind.value)
        said["largest batch that fits"] = largest_batch(case)
        if record.failure:
            said["the shortage"] = Cell(record.failure.message)
        said["expected error"] = Cell(expected_error(record, found))
        said["the prediction took"] = number(case, "predict.seconds")
    columns = (Column("what", "what"), Column("value", "predicted"))
    rows = tuple({"what": Cell(what), "value": _explained(cell)} for what, cell in said.items() if _is_told(cell))
    source = record.environment.get("outside_torch.source")
    notes = (f"Outside torch: {source}.",) if source else ()
    return Table("What the run would hold, predicted", columns, rows, notes)


def _is_told(cell: Cell) -> bool:
    return bool(cell.text) and cell.reason not in (NOT_COMPUTED, NOT_PREDICTED)


def _explained(cell: Cell) -> Cell:
    """Give the reason for a number that was looked for in vain."""
    return replace(cell, brief=f"not known: {cell.reason}") if cell.value is None else cell


def told(case: Case) -> RunRecord:
    """Return the newest record whose numbers stand, or the newest of all."""
    return (case.answers or case.runs)[-1].record


def number(case: Case, metric: str) -> Cell:
    """Return a metric of a prediction with its record; "-" where it has none."""
    values, unit = case.values(metric), unit_of(metric, METRICS[metric].unit)
    if not values:
        return Cell(None, unit, reason=case.reason(metric), brief="-", metric=metric)
    return Cell(
        values[-1], unit, n=1, how="one simulation", kind=case.kind.value, link=case_page(case), metric=metric,
        runs=sources(case),
    )  # fmt: skip


def largest_batch(case: Case) -> Cell:
    """Return the largest batch that fits; in words where the search ended before it was found."""
    found = number(case, LARGEST)
    if found.is_number and LARGEST in told(case).resolved:
        return Cell(f"{found.text} or more", kind=found.kind, link=found.link)
    return found


def verdict(record: RunRecord) -> str:
    """Say in few words whether a predicted run fits its card."""
    if not is_answer(record):
        return "no prediction"
    if record.status is Status.OOM:
        return "does not fit"
    return "fits" if "predict.retries" in record.metrics else "not known"


def fit(record: RunRecord) -> str:
    """Say whether a predicted run fits its card and how well, or why there is no prediction."""
    said, metrics = verdict(record), record.metrics
    if said == "no prediction":
        return f"{said}: {record.status.value}"
    if said == "does not fit":
        need = highest(record, "peak_reserved")
        return f"no: needs {shown(need.value, 'B')}, has {shown(metrics['predict.capacity'], 'B')}" if need else "no"
    retries = metrics.get("predict.retries", 0)
    return ("yes" if said == "fits" else said) + (f", with {retries} {_plural(retries)}" if retries else "")


def _plural(retries: float) -> str:
    return "retry" if retries == 1 else "retries"


def largest_parts(record: RunRecord) -> str:
    """Name the largest categories of the step's peak with their shares."""
    shares = {name: share_of_peak(record, f"at_peak.{name}") or 0 for name in CATEGORIES}
    largest = sorted(shares, key=lambda name: -shares[name])[:SHOWN_PARTS]
    return ", ".join(f"{category_label(name)} {shares[name]:.0%}" for name in largest if shares[name])
