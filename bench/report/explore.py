"""Every case in one table: what it is, how it ended, its main numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import RAN, Case, newest
from bench.report.disturbed import mark
from bench.report.merges import base_label
from bench.report.summary import method_label, model_label, optimizer_label, task_label, work_cell
from bench.report.tables import Cell, Column, Table, case_page, estimated
from bench.schema import Kind
from bench.schema.catalogue import NONE, STUDIES
from bench.schema.metrics import METRICS

WORDS = (
    Column("case", "case"), Column("kind", "kind"), Column("question", "question"), Column("method", "method"),
    Column("rank", "rank"), Column("base", "base"), Column("model", "model"), Column("task", "task"),
    Column("work", "batch × length"), Column("optimizer", "optimiser"), Column("device", "device"),
    Column("stack", "torch, peft, bitsandbytes"), Column("ended", "ok / failed"), Column("started", "newest run"),
)  # fmt: skip
"""What a case is."""
NUMBERS = {
    "train.tokens_per_second": "tokens/s", "train.step_seconds": "step", "train.peak_allocated": "peak tensors",
    "train.peak_process": "peak process, GPU", "train.peak_resident": "peak process", "train.loss_last": "last loss",
    "evaluate.accuracy": "accuracy", "parameters.trainable": "trainable", "paging.stall": "stall",
    "inference.slowdown": "time per token", "merging.update_kept": "kept by a merge",
    "quantization.kl": "KL, quantised",
    "numerics.wrong": "checks wrong", "predict.largest_batch": "largest batch",
}  # fmt: skip
"""Its main numbers: labels by metric."""
FACETS = ("kind", "question", "method", "base", "model", "task", "device", "ended")
"""Columns whose words can be picked from a list."""


def every(cases: Sequence[Case]) -> Table:
    """Return a row a case, of its newest software stack; numbers that nobody asked it for are absent."""
    kept = sorted(newest(cases), key=_order)
    found = [_row(case) for case in kept]
    used = [name for name in NUMBERS if any(row[name].is_number for row in found)]
    numbers = (Column(name, NUMBERS[name], METRICS[name].about) for name in used)
    return Table("Every case", (*WORDS, *numbers), tuple(found))


def _order(case: Case) -> tuple[int, int]:
    """Put trainings first, and what ran before what did not."""
    studies = list(STUDIES)
    place = studies.index(case.config.study) if case.config.study in STUDIES else len(studies)
    return place, case.kind not in RAN


def _row(case: Case) -> Mapping[str, Cell]:
    config = case.config
    study = STUDIES[config.study].label if config.study in STUDIES else config.study
    stack = dict(case.stack)
    versions = ", ".join(stack.get(name, "?") for name in ("torch", "peft", "bitsandbytes"))
    failed = case.failed[-1].record.status.value if case.failed else ""
    return {
        "case": Cell(case.name, link=case_page(case)),
        "kind": Cell(case.kind.value),
        "question": Cell(study),
        "method": Cell(method_label(config.method)),
        "rank": Cell(str(config.options.get("rank", ""))),
        "base": Cell(base_label(case)),
        "model": Cell("" if config.model == NONE else model_label(config.model)),
        "task": Cell("" if config.task == NONE else task_label(config.task)),
        "work": work_cell(case),
        "optimizer": Cell(optimizer_label(config.optimizer)),
        "device": Cell(case.device),
        "stack": Cell("" if case.kind is Kind.PUBLISHED else versions),
        "ended": Cell((failed or "ok") if not case.ok or not case.failed else "ok and failed"),
        "started": Cell(case.latest[:10] + mark(case)),
        **{name: estimated(case, name) for name in NUMBERS},
    }
