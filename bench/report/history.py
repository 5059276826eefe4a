"""One metric of a case over time and versions, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bench.analysis import stats
from bench.analysis.cases import Case
from bench.analysis.history import FEWEST, Change, Point, changes, points
from bench.report.display import shown, unit_of
from bench.report.tables import Cell, Column, Table, case_page
from bench.schema.metrics import METRICS
from bench.schema.record import STACK


def history(cases: Sequence[Case], metric: str) -> Table:
    """Return a row for every stretch of runs with the same software, oldest first; `cases` are one case's stacks.

    Notes say where the level seems to have changed: with eight runs on each side, and as advice.
    """
    found = points(cases, metric)
    unit = unit_of(metric, METRICS[metric].unit)
    page = case_page(cases[-1])
    rows = [_row(list(stretch), unit, metric, cases[-1], page)
            for _, stretch in groupby(found, key=lambda point: point.software)]  # fmt: skip
    columns = (
        Column("since", "since"), *(Column(name, name) for name in STACK), Column("ftbench", "ftbench"),
        Column("value", METRICS[metric].label, METRICS[metric].about), Column("runs", "runs"),
    )  # fmt: skip
    told = [_sentence(change, unit) for change in changes(found)]
    if not told:
        few = len(found) < 2 * FEWEST
        why = (
            f"{len(found)} runs are too few to look; {2 * FEWEST} would do" if few else "no level seems to have changed"
        )
        told = [f"Change points: {why}."]
    notes = (*told, "Runs of different days differ by more than their software; ftbench ab tells versions apart.")
    return Table(f"{METRICS[metric].label}: {cases[-1].name} on {cases[-1].device}", columns, tuple(rows), notes)


def _row(stretch: Sequence[Point], unit: str, metric: str, case: Case, page: str) -> dict[str, Cell]:
    estimate = stats.median([point.value for point in stretch])
    assert estimate is not None, "a stretch has a run"
    runs = tuple(point.run.address for point in stretch)
    number = Cell(estimate.value, unit, estimate.low, estimate.high, estimate.n, estimate.how, kind=case.kind.value,
                  link=page, metric=metric, runs=runs)  # fmt: skip
    software = {name: Cell(version) for name, version in stretch[0].software}
    return {"since": Cell(stretch[0].started[:10]), **software, "value": number, "runs": Cell(str(len(stretch)))}


def _sentence(change: Change, unit: str) -> str:
    levels = f"{shown(change.before, unit)} to {shown(change.after, unit)}"
    software = f"; with it {', '.join(change.differs)}" if change.differs else "; with the same software"
    return f"The level seems to change on {change.at.started[:10]}, {levels} (p = {change.p:.1g}){software}."
