"""The table of the largest batches and sequences that fit, and of what did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import Case, newest, ran
from bench.analysis.limits import Family, families, shortages
from bench.analysis.peaks import SORTS, Peak, highest, telling_sort
from bench.report.summary import method_cell, model_label, run_cell
from bench.report.tables import Cell, Column, Table, case_page, estimated
from bench.schema import RunRecord

LABELS = {"batch_size": "batch size", "sequence_length": "sequence length"}
COLUMNS = (
    Column("method", "method"), Column("model", "model"), Column("kind", "kind"),
    Column("device", "device", detail=True), Column("setting", "largest"), Column("work", "at"),
    Column("memory_limit", "memory limit"), Column("fits", "fits"), Column("fails", "does not"),
    Column("known", "known"), Column("phase", "ran out in"), Column("requested", "asked for"),
    Column("peak", "peak so far"), Column("peak_fits", "peak that fits"), Column("sort", "of"),
)  # fmt: skip
NOTES = (
    "Fits: the largest that trained; does not: the smallest that found no memory. Exact: nothing lies between them.",
)


def limits(cases: Sequence[Case]) -> Table:
    """One row for each group of cases that differ by batch size, or sequence length, only."""
    rows = tuple(_row(family) for family in families(newest(ran(cases))))
    used = {key for row in rows for key in row}
    columns = tuple(column for column in COLUMNS if column.key in used)
    return Table("The largest work that fits", columns, rows, NOTES if rows else ())


def _row(family: Family) -> Mapping[str, Cell]:
    case = family.fits or family.cases[0]
    config = case.config
    other = f"{config.sequence_length} tokens" if family.setting == "batch_size" else f"batch {config.batch_size}"
    row = {
        "method": method_cell(case),
        "model": Cell(model_label(config.model)),
        "kind": Cell(case.kind.value),
        "device": Cell(case.device),
        "setting": Cell(LABELS[family.setting]),
        "work": Cell(other + (", packed" if config.packing else "")),
        "fits": _size(family, family.fits, "none of those tried"),
        "fails": _size(family, family.fails, "all fit"),
        "known": Cell(known(family)),
    }
    if config.memory_limit:
        row["memory_limit"] = Cell(float(config.memory_limit), "B")
    return {**row, **_shortage(family)}


def known(family: Family) -> str:
    """Say how exactly the limit is known."""
    if family.contradicts is not None:
        return f"unsure: {family.size(family.contradicts)} went well too"
    if family.gap is None:
        return "not reached" if family.fails is None else "below all tried"
    return "exact" if family.gap == 1 else f"within {family.gap}"


def _size(family: Family, case: Case | None, otherwise: str) -> Cell:
    if case is None:
        return Cell(otherwise)
    return Cell(float(family.size(case)), "count", kind=case.kind.value, link=case_page(case))


def _shortage(family: Family) -> Mapping[str, Cell]:
    """Tell how the smallest that fails ended, and how high memory stood in it and in the largest that fits."""
    if family.fails is None:
        return {}
    run = shortages(family.fails)[-1]
    failure, peak, row = run.record.failure, peak_so_far(run.record), dict[str, Cell]()
    if failure is not None:
        row["phase"] = Cell(failure.phase, link=case_page(family.fails))
        row["requested"] = Cell(None, "B", reason="the message names no size", brief="not said")
        if failure.bytes_requested is not None:
            source = (run.address,)
            row["requested"] = Cell(
                float(failure.bytes_requested), "B", n=1, kind=run.record.kind.value, metric="failure.bytes_requested",
                runs=source,
            )  # fmt: skip
    if peak is not None:
        row |= {"peak": run_cell(run, peak.metric), "sort": Cell(SORTS[peak.sort])}
        if family.fits is not None:
            row["peak_fits"] = estimated(family.fits, f"train.{peak.sort}")
    return row


def peak_so_far(record: RunRecord) -> Peak | None:
    """Return the highest peak that a run had reached when it ended, of the most telling sort of memory it holds."""
    sorts = [sort for sort in (telling_sort(record), *SORTS) if sort]
    return next((peak for sort in sorts if (peak := highest(record, sort))), None)
