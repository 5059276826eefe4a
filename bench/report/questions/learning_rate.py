"""How fast to learn: learning rate and warm-up by method, and where training breaks down. Claim C23."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told, table
from bench.report.chart import Chart
from bench.report.summary import method_label
from bench.report.sweep_charts import accuracy_chart
from bench.report.sweeps import Sweep, gives, is_scored, sweeps
from bench.report.tables import Cell, Table, case_page

METHODS = ("full", "lora", "qlora")
STEADY = {
    "train.loss_first": "first loss",
    "train.loss_last": "last loss",
    "train.loss_rise": "largest rise",
}
USUAL = {"full": 1e-5, "lora": 2e-4, "qlora": 2e-4}
"""Rates that others are held against: for adapters the guide's (section 5), with its warm-up of a tenth."""
SPREAD = "With more than one seed: the mean and its 95 % interval over them."


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what was learned by rate and warm-up, and how steadily."""
    found = _swept(cases)
    trained = [case for sweep in found for case in sweep.cases]
    return [
        gives("What each learning rate and warm-up gives", found, HEADINGS),
        table("How steadily each learning rate and warm-up trains", trained, HEADINGS, STEADY,
              more={"diverged": ("diverged", _diverged)}, notes=(SPREAD,)),
    ]  # fmt: skip


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy against the learning rate, one chart a method."""
    made = (
        accuracy_chart(f"learning-rate-{method}", [_of(sweep, method) for sweep in _swept(cases)], _name,
                       f"learning rate, {method_label(method)}", lambda case: case.config.learning_rate)
        for method in METHODS
    )  # fmt: skip
    return [chart for chart in made if chart is not None]


def _of(sweep: Sweep, method: str) -> Sweep:
    return Sweep(tuple(case for case in sweep.cases if case.config.method == method), sweep.reference)


def _swept(cases: Sequence[Case]) -> list[Sweep]:
    chosen = [case for case in cases if case.config.method in METHODS]
    return sweeps(chosen, ("learning_rate", "warmup_ratio"), wanted=is_scored, order=_order, reference=_is_usual)


def _order(case: Case) -> tuple[int, float, float]:
    config = case.config
    return METHODS.index(config.method), config.learning_rate, config.warmup_ratio


def _is_usual(case: Case) -> bool:
    return (case.config.learning_rate, case.config.warmup_ratio) == (USUAL[case.config.method], 0.1)


def _diverged(case: Case) -> Cell:
    """Say how many of a case's trainings diverged."""
    ends = case.values("train.diverged")
    return Cell(f"{sum(map(int, ends))} of {len(ends)}" if ends else "", link=case_page(case))


def _name(case: Case) -> str:
    return f"{case.config.learning_rate:g}, warm-up {case.config.warmup_ratio:.0%}"


HEADINGS: Told = {
    "method": ("method", lambda case: Cell(method_label(case.config.method), link=case_page(case))),
    "rate": ("learning rate", lambda case: Cell(f"{case.config.learning_rate:g}")),
    "warmup": ("warm-up", lambda case: Cell(f"{case.config.warmup_ratio:.0%}")),
}
