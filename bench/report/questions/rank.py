"""What a higher rank costs and gives: claims C03, C19 and C35."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told
from bench.report.chart import Chart
from bench.report.sweep_charts import both_charts
from bench.report.sweeps import Sweep, costs, gives, is_scored, is_timed, sweeps
from bench.report.tables import Cell, Table, case_page

RULES = {"lora": "alpha / r", "rslora": "alpha / √r"}
"""Methods whose ranks are compared, and what they multiply their update by."""
REFERENCE = (16, 32)
"""Rank and alpha of the guide's section 5."""


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what the ranks of a sweep learned, and what they cost."""
    return [
        gives("What a higher rank gives", _swept(cases, is_scored), HEADINGS),
        costs("What a higher rank costs", _swept(cases, is_timed), HEADINGS),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy, and speed and memory, against the rank."""
    return both_charts("rank", _swept(cases, is_scored), _swept(cases, is_timed), _name, "rank r", _rank, _rule)


def _swept(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> list[Sweep]:
    chosen = [case for case in cases if case.config.method in RULES and not case.config.options.get("as_many_as")]
    found = sweeps(
        chosen, ("rank", "alpha", "method"), wanted=wanted, order=_order,
        reference=lambda case: case.config.method == "lora" and _order(case)[1:] == REFERENCE,
    )  # fmt: skip
    return [sweep for sweep in found if len({_rank(case) for case in sweep.cases}) > 1]


def _order(case: Case) -> tuple[int, int, int]:
    options = case.config.options
    return list(RULES).index(case.config.method), int(options["rank"]), int(options["alpha"])


def _rank(case: Case) -> float:
    return float(case.config.options["rank"])


def _rule(case: Case) -> str:
    """Say by which rule alpha follows the rank."""
    options = case.config.options
    twice = options["alpha"] == 2 * options["rank"] and case.config.method == "lora"
    return "alpha = 2 r" if twice else f"alpha {options['alpha']}, {RULES[case.config.method]}"


def _name(case: Case) -> str:
    rule = "" if case.config.method == "lora" else ", rsLoRA"
    return f"r{case.config.options['rank']}, alpha {case.config.options['alpha']}{rule}"


HEADINGS: Told = {
    "rank": ("rank", lambda case: Cell(str(case.config.options["rank"]), link=case_page(case))),
    "alpha": ("alpha", lambda case: Cell(str(case.config.options["alpha"]))),
    "scale": ("scale", lambda case: Cell(RULES[case.config.method])),
}
