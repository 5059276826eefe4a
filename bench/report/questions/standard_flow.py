"""The guide's standard flow (section 5, table T3): does it run as written, and what does its line say? Claim C17."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case, newest, ran
from bench.report.asked import METHOD, Told
from bench.report.asked import table as asked
from bench.report.chart import Chart, drawn, label
from bench.report.merges import base_label
from bench.report.summary import optimizer_label
from bench.report.tables import Cell, Column, Table, case_page, estimated

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
    return [
        asked("The guide's standard flow", _flows(cases), HEADINGS, FIGURES, more=LINE, notes=(NOTE,), details=DETAILS)
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return the loss of every step, as the Trainer logs it, one line a flow that ran."""
    found = {_name(case): case for case in _flows(cases) if case.ok and case.ok[-1].record.series.get("step.loss")}
    if not found:
        return []
    losses = {name: case.ok[-1].record.series["step.loss"] for name, case in found.items()}
    traces = [
        {"type": "scatter", "mode": "lines", "name": label(name), "x": list(range(1, len(said) + 1)), "y": list(said)}
        for name, said in losses.items()
    ]
    layout = {"xaxis": {"title": {"text": "optimiser step"}}, "yaxis": {"title": {"text": "loss, nats a token"}}}
    ends = {
        name: (estimated(case, "train.loss_first"), estimated(case, "train.loss_last")) for name, case in found.items()
    }
    said = "; ".join(f"{name}: from {first.text} to {last.text}" for name, (first, last) in ends.items())
    rows = tuple({"flow": Cell(name), "first": first, "last": last} for name, (first, last) in ends.items())
    columns = Column("flow", "flow"), Column("first", "first loss"), Column("last", "last loss")
    return [
        Chart(
            "standard-flow-loss", f"Loss of the flow with {said}.", drawn(traces, layout), Table("Loss", columns, rows)
        )
    ]


def _flows(cases: Sequence[Case]) -> list[Case]:
    return [case for case in newest(ran(cases)) if case.config.study == STUDY]


def _name(case: Case) -> str:
    return f"{optimizer_label(case.config.optimizer)}, {base_label(case)}"


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
