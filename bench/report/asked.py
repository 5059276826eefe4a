"""Tables of one question: a row a case, first columns that say what sets it apart, then figures and what follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from bench.analysis.cases import Case
from bench.report.summary import method_cell, model_label, task_label
from bench.report.tables import Cell, Column, Table, case_page, ending
from bench.report.tidy import possible, tidy
from bench.schema.metrics import METRICS

Told = Mapping[str, tuple[str, Callable[[Case], Cell]]]
"""Columns by key: their label, and the cell of a case."""

METHOD: Told = {"method": ("method", method_cell)}
PLACE: Told = {
    "model": ("model", lambda case: Cell(model_label(case.config.model))),
    "task": ("task", lambda case: Cell(task_label(case.config.task))),
    "device": ("device", lambda case: Cell(case.device)),
    "kind": ("kind", lambda case: Cell(case.kind.value)),
    "case": ("case", lambda case: Cell(case.name, link=case_page(case))),
}
"""Where a case belongs; columns in which all rows are alike are details."""


def table(
    title: str,
    cases: Sequence[Case],
    headings: Told,
    figures: Mapping[str, str],
    *,
    more: Told | None = None,
    notes: Iterable[str] = (),
    details: Collection[str] = (),
) -> Table:
    """Return the table of `cases`, in their order: `headings`, `PLACE`, `figures` (labels of metrics), then `more`.

    Columns named in `details` are left out where width is short. How cases ended whose numbers do not stand is told
    below the table, in the words of their failure.
    """
    first, more = {**headings, **PLACE}, more or {}
    rows = tuple(
        {
            **{key: cell(case) for key, (_, cell) in first.items()},
            **{key: possible(case, key) for key in figures},
            **{key: cell(case) for key, (_, cell) in more.items()},
        }
        for case in cases
    )
    alike = {key for key in PLACE if key == "case" or len({made[key].text for made in rows}) <= 1}
    columns = [Column(key, text, detail=key in alike or key in details) for key, (text, _) in first.items()]
    columns += [Column(key, text, METRICS[key].about, detail=key in details) for key, text in figures.items()]
    columns += [Column(key, text, detail=key in details) for key, (text, _) in more.items()]
    said = (*notes, *refusals(cases, headings)) if rows else ()
    return tidy(Table(title, tuple(columns), rows, said), list(figures))


def refusals(cases: Sequence[Case], headings: Told) -> Iterable[str]:
    """Say why no run of a case gave numbers, in the last one's words; cases are named by their first columns.

    Those that ended in the same words share a note.
    """
    named: dict[str, list[str]] = {}
    for case in cases:
        failure = None if case.answers else case.failed[-1].record.failure
        if failure is not None:
            words = (cell(case).text for _, cell in headings.values())
            named.setdefault(f"{ending(case)}: {failure.message}", []).append(", ".join(filter(None, words)))
    return (f"{'; '.join(cases)}: {why}" for why, cases in named.items())
