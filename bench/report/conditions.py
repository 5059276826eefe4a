"""What the machine was like while it ran: canaries, neighbours, stalls, clocks, and which runs were disturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.analysis import stats
from bench.analysis.cases import Case, newest, ran
from bench.report.display import unit_of
from bench.report.disturbed import disturbed, share
from bench.report.headings import heading, headings
from bench.report.summary import method_label, work_cell
from bench.report.tables import Cell, Column, Table, from_estimate
from bench.report.tidy import possible, tidy
from bench.schema.metrics import METRICS

QUIET = {
    "canary.drift": "drift",
    "train.neighbour_cores": "others' cores",
    "train.stolen_cores": "stolen",
    "train.cpu_stall": "core stall",
    "train.memory_stall": "memory stall",
    "train.io_stall": "disk stall",
    "train.foreign_processes": "others on GPU",
    "train.throttled_seconds": "throttled",
}
CANARIES = {
    "canary.gemm_before": "GEMM before",
    "canary.gemm_after": "GEMM after",
    "canary.copy_before": "copy before",
    "canary.copy_after": "copy after",
    "train.sm_clock": "SM clock",
    "train.temperature_start": "temperature before",
    "train.temperature_end": "temperature after",
    "train.clock_reasons_start": "clock reasons before",
    "train.clock_reasons_end": "clock reasons after",
    "train.power_cap_seconds": "at the power cap",
}
RANGE_NOTE = "Medians of the runs that went well, in parentheses their range."
QUIET_NOTE = (
    "Drift: how much faster or slower the same fixed work was after a run than before. Others' cores: kept busy by "
    "other programs; stolen: cores the hypervisor gave to others; stall: time in which some task waited; all during "
    "the timed steps. Disturbed runs stay in every number."
)
WIDE = {"canary.gemm_after", "canary.copy_after"}
"""What drift says already; wide tables (Markdown, CSV, JSON) have it."""


def conditions(cases: Sequence[Case]) -> list[Table]:
    """Two tables, one row a case each: what disturbed the runs; canaries and clocks."""
    kept = newest(ran(cases))
    notes = (RANGE_NOTE, QUIET_NOTE, *(line for case in kept for line in _reasons(case)))
    return [
        _table("What disturbed the runs", kept, QUIET, notes, says_disturbed=True),
        _table("The machine before, during and after", kept, CANARIES, (RANGE_NOTE,)),
    ]


def _table(
    title: str, cases: Sequence[Case], shown: Mapping[str, str], notes: tuple[str, ...], says_disturbed: bool = False
) -> Table:
    columns = (
        *headings(cases),
        *([Column("disturbed", "disturbed")] if says_disturbed else []),
        *(Column(name, label, METRICS[name].about, detail=name in WIDE) for name, label in shown.items()),
    )  # fmt: skip
    rows = tuple(
        {**heading(case), "disturbed": Cell(share(case)), **{name: _seen(case, name) for name in shown}}
        for case in cases
    )
    return tidy(Table(title, columns, rows, notes), list(shown))


def _seen(case: Case, metric: str) -> Cell:
    """Return the median over runs and their range: what was seen, not what to expect."""
    found = stats.median(case.values(metric))
    if found is None:
        return possible(case, metric)
    return from_estimate(found, unit_of(metric, METRICS[metric].unit), case, metric)


def _reasons(case: Case) -> Iterator[str]:
    for run, reasons in disturbed(case):
        work = work_cell(case).text
        yield f"{method_label(case.config.method)}, {work}, run {run.run}: {'; '.join(reasons)}."
