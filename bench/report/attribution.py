"""What the memory at a training step's peak is for: bytes by category, and their share of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from bench.analysis.cases import Case, newest, of_one_kind
from bench.analysis.peaks import agreement, share_of_peak
from bench.analysis.stats import Estimate
from bench.analysis.values import value
from bench.report.headings import heading, headings
from bench.report.tables import Cell, Column, Table, from_estimate
from bench.report.tidy import Row, possible, tidy
from bench.schema import Kind, RunRecord
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES

TOTAL = "at_peak.total"
BEYOND = ("at_peak.allocator_slack", "at_peak.outside_torch")
LABELS = {
    "base_float32": "base f32", "base_bfloat16": "base bf16", "base_float16": "base f16", "base_int8": "base int8",
    "base_4bit": "base 4bit", "quantization_state": "quant", "optimizer_state": "optimiser",
    "gradients": "grads", "temporaries": "temp", "allocator_slack": "slack", "outside_torch": "outside",
}  # fmt: skip
NOTE = (
    "Of one step of the largest batch, traced after everything timed, at the moment of its peak: means over runs, in "
    "parentheses their range. In every run the categories sum to the total."
)
PREDICTED_NOTE = (
    "Of a step of the largest batch that is simulated after those of training, at the moment of its peak. The "
    "categories sum to the total."
)
BEYOND_NOTE = (
    "Slack: what torch's caching allocator holds beyond the total, rounding and free blocks. Outside: "
    "what the process holds on the GPU beyond that, {}: CUDA context, libraries. Total, slack and "
    "outside sum to the process's peak."
)


def attribution(cases: Sequence[Case]) -> Table:
    """Two rows a case whose numbers stand, bytes and their share; one column a category that any case has.

    Of cases of several kinds, runs alone are shown.
    """
    kept = newest(of_one_kind(cases))
    used = [f"at_peak.{name}" for name in CATEGORIES if any(any(case.values(f"at_peak.{name}")) for case in kept)]
    figures = [*used, TOTAL, *BEYOND]
    columns = (
        *headings(kept), Column("stage", "peak in"), Column("of", "as"),
        *(Column(name, category_label(name), METRICS[name].about) for name in figures),
    )  # fmt: skip
    rows = tuple(row for case in kept if case.answers for row in _rows(case, used))
    beyond = any(case.values(name) for case in kept for name in BEYOND)
    predicted = any(case.kind is Kind.PREDICTED for case in kept)
    source = "as other processes on such cards were seen to" if predicted else "as NVML tells it"
    notes = (PREDICTED_NOTE if predicted else NOTE, *([BEYOND_NOTE.format(source)] if beyond else []))
    return tidy(Table("Memory at the peak of a training step", columns, rows, notes), figures)


def category_label(metric: str) -> str:
    """Name a part of the peak in a word or two."""
    name = metric.removeprefix("at_peak.")
    return LABELS.get(name, name.replace("_", " "))


def _rows(case: Case, used: Sequence[str]) -> Iterator[Row]:
    stages = [str(run.record.resolved.get("at_peak.stage", "")) for run in case.answers]
    first = {**heading(case), "stage": Cell(agreement([stage for stage in stages if stage]))}
    if not case.values(TOTAL):
        yield {**first, TOTAL: possible(case, TOTAL)}
        return
    yield {**first, "of": Cell("bytes"), **{name: _cell(case, name, "B", value) for name in [*used, TOTAL, *BEYOND]}}
    yield {**first, "of": Cell("share"), **{name: _cell(case, name, "%", share_of_peak) for name in used}}


def _cell(case: Case, metric: str, unit: str, read: Callable[[RunRecord, str], float | None]) -> Cell:
    """Return the mean over runs, which adds up over categories, with the runs' range."""
    values = [number for run in case.answers if (number := read(run.record, metric)) is not None]
    if not values:
        return possible(case, metric)
    source = metric if unit == "B" else f"{metric}/{TOTAL}"
    if len(values) == 1:
        return from_estimate(Estimate(values[0], None, None, 1, "one run"), unit, case, source)
    found = Estimate(fmean(values), min(values), max(values), len(values), f"mean and range of {len(values)} runs")
    return from_estimate(found, unit, case, source)
