"""The guide's standard flow (section 5, table T3): does it run as written, and what does its line say? Claim C17."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case, newest, ran
from bench.report.asked import METHOD, Told, table
from bench.report.figures import Chart
from bench.report.merges import base_label
from bench.report.summary import optimizer_label
from bench.report.tables import Cell, Table, case_page

STUDY = "standard_flow"
FIGURES = {
    "flow.trainable": "trainable, printed",
    "parameters.trainable": "trainable, counted",
    "flow.total": "all, printed",
    "parameters.total": "all, counted",
    "paging.state_bytes": "optimiser state",
    "train.loss_first": "first loss",
    "train.loss_last": "last loss",
    "evaluate.accuracy_before": "accuracy before",
    "evaluate.accuracy": "accuracy",
    "train.peak_resident": "peak process",
    "train.peak_allocated": "peak tensors",
    "train.seconds": "training took",
}
NOTE = "The guide's own line, for Llama-3.1-8B: trainable params: 33,554,432 || all params: 8,031,432,704 || 0.417 %."
DETAILS = ("train.loss_first", "evaluate.accuracy_before", "train.peak_resident")


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return the flows that were tried, as written and as this device allows, with the line each printed."""
    found = [case for case in newest(ran(cases)) if case.config.study == STUDY]
    return [table("The guide's standard flow", found, HEADINGS, FIGURES, more=LINE, notes=(NOTE,), details=DETAILS)]


def charts(_: Sequence[Case]) -> list[Chart]:
    """Return none: a line of text and a yes or no need no chart."""
    return []


def _line(case: Case) -> Cell:
    said = str(case.ok[-1].record.resolved.get("flow.line", "")) if case.ok else ""
    return Cell(said, link=case_page(case))


HEADINGS: Told = {
    **METHOD,
    "base": ("base", lambda case: Cell(base_label(case))),
    "optimizer": ("optimiser", lambda case: Cell(optimizer_label(case.config.optimizer))),
    "precision": ("mixed precision", lambda case: Cell(case.config.autocast)),
}
LINE: Told = {"line": ("the line", _line)}
