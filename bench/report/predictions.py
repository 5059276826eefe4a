"""Predictions as tables: what every run would hold, and each beside what was measured or published of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.analysis.cases import Case, estimate, newest
from bench.analysis.predictions import Accuracy, Check, accuracy, card, checks
from bench.report.attribution import category_label
from bench.report.display import DIFFERENCE, shown
from bench.report.forecast import LARGEST, PEAKS, fit, largest_batch, largest_parts, number, told
from bench.report.headings import heading, headings
from bench.report.summary import method_cell, work_cell
from bench.report.tables import Cell, Column, Table, case_page, from_estimate, sources
from bench.schema import Kind
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES

Row = Mapping[str, Cell]

FIRST = ("method", "kind", "model", "work")
LAST = ("options", "optimizer", "dtype", "checkpointing", "loop", "task", "paging", "case")
"""Headings in their order before and after a row's numbers; the card stands for the device."""

ALWAYS = ("model", "optimizer")
"""What the row of a prediction says even where all rows agree."""

PEAK_NOTES = (
    "Of training, simulated without a limit, so that a peak may exceed the card; nothing was run. Outside torch: what "
    "processes on such cards were seen to hold beside torch's allocator, its source in each record.",
    "Fits: into what the card has for torch. Retries: how often the allocator would have to give cached memory back.",
    "Largest parts: of all tensors at the peak of one more step. Markdown, CSV and JSON have every part.",
)
NO_PREDICTION = "No record here is a prediction; ftbench predict --results makes one."
ERROR_NOTE = (
    "Error: predicted over measured or published, minus 1; above zero the prediction is too high. Both are of the "
    "same case on the same card."
)
NO_CHECK = "No predicted case was measured or published on the same card."


def predictions(cases: Sequence[Case]) -> list[Table]:
    """Two tables: the predicted peaks, one row a case and card; and every prediction that can be checked."""
    found = checks(cases)
    return [predicted_peaks(cases), against(found, accuracy(found))]


def predicted_peaks(cases: Sequence[Case]) -> Table:
    """One row a predicted case and card: peaks, the moment of the peak, whether it fits, what it consists of."""
    kept = [case for case in newest(cases) if case.kind is Kind.PREDICTED]
    parts = [f"at_peak.{name}" for name in CATEGORIES if any(any(case.values(f"at_peak.{name}")) for case in kept)]
    columns = (
        *_headings(kept, FIRST), Column("card", "card"),
        *(Column(name, label, METRICS[name].about) for name, label in PEAKS.items()),
        Column("fits", "fits"), Column(LARGEST, "largest batch", METRICS[LARGEST].about),
        Column("moment", "peak of training in"), Column("operation", "at"), Column("parts", "largest parts"),
        *_headings(kept, LAST),
        *(Column(name, category_label(name), METRICS[name].about, detail=True) for name in parts),
    )  # fmt: skip
    rows = tuple(_peak_row(case, parts) for case in kept)
    notes = (*PEAK_NOTES, *_refusals(kept)) if rows else (NO_PREDICTION,)
    return Table("Predicted peaks", columns, rows, notes)


def _headings(cases: Sequence[Case], keys: Sequence[str]) -> list[Column]:
    known = {column.key: column for column in headings(cases)}
    kept = [known[key] for key in keys if key in known]
    return [replace(column, detail=False) if column.key in ALWAYS else column for column in kept]


def _refusals(cases: Sequence[Case]) -> Iterator[str]:
    """Say why there is no prediction of a case, in its own words."""
    for case in cases:
        failure = told(case).failure
        if not case.answers and failure:
            yield f"No prediction of {method_cell(case).text}, {work_cell(case).text}: {failure.message}"


def _peak_row(case: Case, parts: Sequence[str]) -> Row:
    record = told(case)
    return {
        **heading(case),
        "card": _card(case),
        **{name: number(case, name) for name in (*PEAKS, *parts)},
        "fits": Cell(fit(record), kind=case.kind.value),
        LARGEST: largest_batch(case),
        "moment": Cell(str(record.resolved.get("peak.moment", ""))),
        "operation": Cell(str(record.resolved.get("peak.operation", ""))),
        "parts": Cell(largest_parts(record), kind=case.kind.value),
    }


def _card(case: Case) -> Cell:
    found = card(case)
    return Cell(found.name if found else case.device)


def against(found: Sequence[Check], known: Sequence[Accuracy]) -> Table:
    """One row a check: predicted, measured or published, and the error; how far off predictions are as notes."""
    known = [one for one in known if any(check.family == one.family for check in found)]
    ordered = [check for one in known for check in found if check.family == one.family]
    kept = [check.predicted for check in ordered]
    cited = list(dict.fromkeys(filter(None, map(citation, (check.known for check in ordered)))))
    columns = (
        *(column for column in _headings(kept, FIRST) if column.key != "kind"), Column("card", "card"),
        Column("definition", "peak of training"), Column("predicted", "predicted"), Column("known_kind", "against"),
        Column("known", "measured or published"), Column("error", "error"), Column("source", "source"),
        *_headings(kept, LAST), Column("family", "base", detail=True), Column("metric", "metric", detail=True),
        Column("citation", "citation", detail=True),
    )  # fmt: skip
    rows = tuple(_check_row(check, cited) for check in ordered)
    notes = (*_check_notes(ordered, known), *(f"({n}) {text}" for n, text in enumerate(cited, 1)))
    return Table("Predicted against measured and published", columns, rows, notes)


def _check_row(check: Check, cited: Sequence[str]) -> Row:
    predicted, known, metric = check.predicted, check.known, check.metric
    estimated, text = estimate(known, metric), citation(known)
    assert estimated is not None
    runs = "1 run" if len(known.answers) == 1 else f"{len(known.answers)} runs"
    return {
        **{key: cell for key, cell in heading(predicted).items() if key != "kind"},
        "card": _card(predicted),
        "definition": Cell(PEAKS[metric], how=METRICS[metric].about, metric=metric),
        "predicted": number(predicted, metric),
        "known_kind": Cell(known.kind.value, link=case_page(known)),
        "known": from_estimate(estimated, "B", known, metric),
        "error": Cell(
            check.error, DIFFERENCE, how="predicted over known, minus 1", kind="derived", link=case_page(predicted),
            metric=metric, runs=sources(predicted), against=sources(known),
        ),
        "source": Cell(f"({cited.index(text) + 1})" if text else runs),
        "family": Cell(check.family),
        "metric": Cell(metric),
        "citation": Cell(text),
    }  # fmt: skip


def citation(case: Case) -> str:
    """Return what a published case cites; nothing for other cases."""
    return case.runs[-1].record.citation or "no source given" if case.kind is Kind.PUBLISHED else ""


def _check_notes(found: Sequence[Check], known: Sequence[Accuracy]) -> Iterator[str]:
    if not found:
        yield NO_CHECK
        return
    yield from (f"Size of the error, {one.family}: {one.text}." for one in known)
    yield ERROR_NOTE
    for metric in dict.fromkeys(check.metric for check in found):
        label = PEAKS[metric]
        yield f"{label[0].upper()}{label[1:]}: {METRICS[metric].label}. {METRICS[metric].about}"


def beside(cases: Sequence[Case]) -> list[str]:
    """Say in a note how well those of `cases` that were measured were predicted, where some were."""
    found = [check for check in checks(cases) if check.known.kind is Kind.MEASURED]
    errors: dict[str, list[float]] = {check.metric: [] for check in found}
    for check in found:
        errors[check.metric].append(check.error)
    said = "; ".join(f"{METRICS[metric].label}, {_range(shares)}" for metric, shares in errors.items())
    count = len({check.known.name for check in found})
    who = "1 of these cases was" if count == 1 else f"{count} of these cases were"
    note = f"{who} predicted too (ftbench table predictions); errors of the predictions: {said}."
    return [note] if found else []


def _range(errors: Sequence[float]) -> str:
    least, most = (shown(error, DIFFERENCE) for error in (min(errors), max(errors)))
    return least if least == most else f"{least} to {most}"
