"""LoRA's variants beside LoRA, on a plain and on a 4-bit base. Claims C24 and C28."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis.cases import Case
from bench.analysis.families import OPTIONS
from bench.report.asked import Told
from bench.report.chart import Chart
from bench.report.merges import adapter_label, base_label
from bench.report.summary import method_label
from bench.report.sweep_charts import accuracy_chart, cost_chart
from bench.report.sweeps import Sweep, at_usual_rates, costs, gives, is_scored, is_timed, sweeps
from bench.report.tables import Cell, Table, case_page
from bench.schema.catalogue import METHODS

REFERENCE = "lora"
OTHERS = ("full", "qlora", "lora_8bit")
"""Methods that are no variants: they differ by their base, which a sweep shares."""
MANY = ("lora", "rslora")
"""Methods that other questions train in many ways."""
BASES = ("plain", "nf4")


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what each variant learned and what it cost, beside LoRA on the same base."""
    return [
        gives("What LoRA's variants give", _swept(cases, is_scored), HEADINGS),
        costs("What LoRA's variants cost", _swept(cases, is_timed), HEADINGS),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy by variant for each base, and speed and memory."""
    scored, timed = (_swept(cases, wanted) for wanted in (is_scored, is_timed))
    made = [
        accuracy_chart(f"variants-right-{base}", [_on(sweep, base) for sweep in scored], _name, f"method, base {base}")
        for base in BASES
    ]
    made.append(cost_chart("variants-cost", timed, _name, "method"))
    return [chart for chart in made if chart is not None]


def _on(sweep: Sweep, base: str) -> Sweep:
    return Sweep(tuple(case for case in sweep.cases if case.config.base == base), sweep.reference)


def _swept(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> list[Sweep]:
    """Return sweeps over methods; of LoRA and rsLoRA, of whose ranks there are many cases, the plain one alone."""
    chosen = [
        case
        for case in cases
        if case.config.method not in OTHERS and (case.config.method not in MANY or not case.config.changed_options)
    ]
    found = sweeps(chosen, ("method", "learning_rate", OPTIONS), wanted=wanted, order=_order,
                   reference=lambda case: case.config.method == REFERENCE)  # fmt: skip
    several = [sweep for sweep in found if len({case.config.method for case in sweep.cases}) > 1]
    return [at_usual_rates(sweep, lambda case: case.config.method) for sweep in several]


def _order(case: Case) -> tuple[str, int, float]:
    methods = list(METHODS)
    place = methods.index(case.config.method) if case.config.method in METHODS else len(methods)
    return case.config.base, place, case.config.learning_rate


def _name(case: Case) -> str:
    return method_label(case.config.method)


HEADINGS: Told = {
    "base": ("base", lambda case: Cell(base_label(case))),
    "method": ("method", lambda case: Cell(adapter_label(case), link=case_page(case))),
}
