"""The table of all cases, the table of all failures, and the table of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import RAN, Case, is_headline, newest, ran
from bench.analysis.values import DERIVED, reason, value
from bench.report.display import unit_of
from bench.report.disturbed import NOTE, disturbed, mark, said
from bench.report.tables import Cell, Column, Table, case_page, estimated
from bench.schema.catalogue import METHODS, OPTIMIZERS, TASKS
from bench.schema.metrics import METRICS
from bench.schema.models import MODELS
from bench.store import Stored

SHOWN = (
    ("parameters.trainable", "trainable"),
    ("parameters.trainable_share", "trainable share"),
    ("train.tokens_per_second", "tokens/s"),
    ("train.step_seconds", "step"),
    ("train.peak_allocated", "peak tensors"),
    ("train.peak_resident", "peak process"),
    ("train.loss_first", "first loss"),
    ("train.loss_last", "last loss"),
    ("evaluate.accuracy_before", "accuracy before"),
    ("evaluate.accuracy", "accuracy after"),
)
TOGETHER = "together"
DETAILS = (
    "parameters.total",
    "load.peak_allocated",
    "load.peak_resident",
    "evaluate.peak_allocated",
    "evaluate.peak_resident",
    "evaluate.tokens_per_second",
    "save.adapter_bytes",
)


def method_label(method: str) -> str:
    """Return a method's name for people."""
    return METHODS[method].label if method in METHODS else method


def model_label(model: str) -> str:
    """Return a model's name for people."""
    return MODELS[model].label if model in MODELS else model


def task_label(task: str) -> str:
    """Return a task's name for people."""
    return TASKS[task].label if task in TASKS else task


def method_cell(case: Case) -> Cell:
    """Name a case's method and rank, linked to the case's page."""
    rank = f" r{case.config.options['rank']}" if "rank" in case.config.options else ""
    return Cell(method_label(case.config.method) + rank, link=case_page(case))


def optimizer_label(optimizer: str) -> str:
    """Return an optimiser's name for people."""
    return OPTIMIZERS[optimizer].label if optimizer in OPTIMIZERS else optimizer


def work_cell(case: Case) -> Cell:
    """Say how much a step handles: sequences times their length, and whether they are packed."""
    packed = ", packed" if case.config.packing else ""
    return Cell(f"{case.config.batch_size} × {case.config.sequence_length}{packed}")


def summary(cases: Sequence[Case]) -> Table:
    """One row a case of runs, newest software stack only; older stacks are counted in a note, never pooled."""
    apart = len(newest(cases)) - len(newest(ran(cases)))
    cases = ran(cases)
    kept = [case for case in newest(cases) if is_headline(case)]
    columns = (
        Column("method", "method"), Column("kind", "kind"), Column("runs", "ok / failed"),
        Column("model", "model"), Column("task", "task"), Column("work", "batch × length"),
        Column("device", "device", detail=True), Column("case", "case", detail=True),
        *(Column(name, label, METRICS[name].about) for name, label in SHOWN),
        *(Column(name, METRICS[name].label, METRICS[name].about, detail=True) for name in DETAILS),
    )  # fmt: skip
    notes = [
        "Peaks are while training. Tensors: what torch holds; process: all host memory resident, "
        "interpreter and libraries included.",
        "In parentheses: 95 % interval; its meaning is in each cell's JSON and on the case's page.",
    ]
    if any(disturbed(case) for case in kept):
        notes.append(NOTE)
    if aside := len(newest(cases)) - len(kept):
        notes.append(f"{aside} cases about other questions have tables of their own: ftbench table --help names them.")
    if len(newest(cases)) < len(cases):
        notes.append(
            f"{len(cases) - len(newest(cases))} older groups of runs, made with other versions of torch, transformers, "
            "peft or bitsandbytes, are not in this table; they are on the cases' pages."
        )
    if apart:
        notes.append(f"{apart} predicted or published cases have tables of their own (ftbench table predictions).")
    return Table("All cases", columns, tuple(_summary_row(case) for case in kept), tuple(notes))


def _summary_row(case: Case) -> Mapping[str, Cell]:
    config = case.config
    return {
        "method": method_cell(case),
        "model": Cell(model_label(config.model)),
        "task": Cell(task_label(config.task)),
        "work": work_cell(case),
        "device": Cell(case.device),
        "case": Cell(case.name),
        **{name: estimated(case, name) for name in [*(name for name, _ in SHOWN), *DETAILS]},
        "runs": Cell(f"{len(case.ok)} / {len(case.failed)}{mark(case)}", link=case_page(case)),
        "kind": Cell(case.kind.value),
    }


def failures(cases: Sequence[Case]) -> Table:
    """Every run that did not go well: how it ended, where, and what it said. A prediction that says so is none."""
    columns = (
        Column("method", "method"), Column("model", "model"), Column("device", "device", detail=True),
        Column("run", "run"), Column("status", "status"), Column("phase", "phase"), Column("message", "message"),
        Column("requested", "bytes asked for"), Column("kind", "kind"),
    )  # fmt: skip
    rows = tuple(_failure_row(case, run) for case in ran(cases) for run in case.failed)
    return Table("Runs that failed", columns, rows)


def _failure_row(case: Case, run: Stored) -> Mapping[str, Cell]:
    failure, config = run.record.failure, case.config
    row = {
        "method": Cell(method_label(config.method)),
        "model": Cell(model_label(config.model)),
        "device": Cell(case.device),
        "run": Cell(f"{case.name}/{run.run}", link=case_page(case)),
        "status": Cell(run.record.status.value + (f" ({failure.signal})" if failure and failure.signal else "")),
        "phase": Cell(failure.phase if failure else ""),
        "message": Cell(failure.message if failure else "no reason recorded"),
        "kind": Cell(case.kind.value),
    }
    if failure and failure.bytes_requested is not None:
        row["requested"] = Cell(
            float(failure.bytes_requested),
            "B",
            kind=case.kind.value,
            metric="failure.bytes_requested",
            runs=(run.address,),
        )
    return row


def per_run(case: Case, most: int | None = None, *, together: bool = False) -> Table:
    """Every metric that a run of the case holds or was asked for, one column a run; of `most` newest runs, if given.

    With more than one run whose numbers stand, and `together`, a column has what they amount to, with its interval.
    """
    runs = case.runs[-most:] if most else case.runs
    summed = (Column(TOGETHER, f"all {len(case.answers)}"),) if together and len(case.answers) > 1 else ()
    columns = (Column("metric", "metric"), *summed, *(Column(run.run, run.run) for run in runs))
    rows: list[Mapping[str, Cell]] = []
    if disturbed(case):
        rows.append({"metric": Cell("disturbed"), **{run.run: Cell(said(run)) for run in case.ok}})
    held = {name for run in runs for name in (*run.record.metrics, *run.record.absent)} | DERIVED.keys()
    for name, metric in METRICS.items():
        if name not in held:
            continue
        cells = {run.run: run_cell(run, name) for run in runs}
        if any(cell.value is not None or name in r.record.absent for cell, r in zip(cells.values(), runs, strict=True)):
            whole = {TOGETHER: estimated(case, name)} if summed else {}
            rows.append({"metric": Cell(metric.label, how=metric.about, metric=name), **whole, **cells})
    title = "Every run's numbers" if case.kind in RAN else "Every number"
    return Table(f"{title}, {case.kind.value}", columns, tuple(rows))


def run_cell(run: Stored, name: str) -> Cell:
    """Return the cell of one metric of one run."""
    found, unit = value(run.record, name), unit_of(name, METRICS[name].unit)
    if found is None:
        return Cell(None, unit, metric=name, reason=reason(run.record, name))
    return Cell(found, unit, n=1, kind=run.record.kind.value, metric=name, runs=(run.address,))
