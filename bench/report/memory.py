"""The table of peak memory by phase: a phase's peaks start again when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.analysis.cases import Case, newest, of_one_kind
from bench.analysis.peaks import SORTS, set_by
from bench.report.headings import heading, headings
from bench.report.predictions import beside
from bench.report.tables import Cell, Column, Table, ending
from bench.report.tidy import Row, possible, tidy
from bench.schema import Kind
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import PHASES, STAGES

COLUMNS = (
    ("peak_allocated", "tensors", False),
    ("peak_requested", "requested", True),
    ("peak_reserved", "reserved", False),
    ("peak_process", "GPU process", False),
    ("peak_device", "GPU device", False),
    ("peak_managed", "managed", False),
    ("peak_resident", "process", False),
    ("minor_faults", "minor faults", True),
    ("major_faults", "major faults", True),
    ("swap_growth", "growth of swap", True),
)
"""Last part of the metric's name, label, and whether only wide tables (Markdown, CSV, JSON) have it."""

NOTES = (
    "Peaks start again with every phase. Tensors: what torch holds; process: all host memory resident, interpreter "
    "and libraries included; GPU: as NVML tells it.",
    "Maximum set by: the phase with the highest peak, judged by the most telling sort of memory that most phases hold.",
)
PREDICTED_NOTES = (
    "Peaks start again with every phase. Tensors: what torch holds. GPU: reserved memory plus what processes on such "
    "cards were seen to hold outside torch. Simulated without a limit, so that a peak may exceed the card.",
    NOTES[1],
)
PREDICTED_STAGE_NOTE = "Forward, backward and optimizer are the stages of one more step."
STAGE_NOTE = "Forward, backward and optimizer are the stages of one step that was traced after everything timed."


def memory(cases: Sequence[Case]) -> Table:
    """One row a case and phase or stage of a step, one column a sort of memory that any case holds.

    Of cases of several kinds, runs alone are shown; a note tells how well they were predicted.
    """
    kept = newest(of_one_kind(cases))
    columns = (
        *headings(kept), Column("phase", "phase"),
        *(Column(key, label, METRICS[f"train.{key}"].about, detail) for key, label, detail in COLUMNS),
        Column("set_by", "maximum set by"),
    )  # fmt: skip
    rows = tuple(row for case in kept for row in _rows(case))
    staged = any(str(row["phase"].value).startswith("train, ") for row in rows)
    predicted = any(case.kind is Kind.PREDICTED for case in kept)
    first, stages = (PREDICTED_NOTES, PREDICTED_STAGE_NOTE) if predicted else (NOTES, STAGE_NOTE)
    notes = (*first, *([stages] if staged else []), *beside(cases))
    return tidy(Table("Peak memory by phase", columns, rows, notes), [key for key, _, _ in COLUMNS])


def _rows(case: Case) -> Iterator[Row]:
    first, found = heading(case), set_by(case)
    maximum = Cell(f"{found[0]}, {SORTS[found[1]]}" if found else "")
    made = False
    for phase, label in _parts():
        cells = _cells(case, phase)
        if any(cell.is_number for cell in cells.values()):
            made = True
            yield {**first, "phase": Cell(label), **cells, "set_by": maximum}
    if not made and not case.answers:
        yield {**first, "phase": Cell(ending(case))}


def _parts() -> Iterator[tuple[str, str]]:
    """Every phase in its order; a training step's stages after training."""
    for phase in PHASES:
        yield phase, phase
        if phase == "train":
            yield from ((stage, f"train, {stage}") for stage in STAGES)


def _cells(case: Case, phase: str) -> Mapping[str, Cell]:
    names = {key: f"{phase}.{key}" for key, _, _ in COLUMNS}
    return {key: possible(case, name) for key, name in names.items() if name in METRICS}
