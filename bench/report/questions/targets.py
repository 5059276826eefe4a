"""Which layers to adapt: by kind of layer, and at equal numbers of parameters. Claim C20."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told
from bench.report.chart import Chart
from bench.report.sweep_charts import both_charts
from bench.report.sweeps import Sweep, costs, gives, is_scored, is_timed, sweeps
from bench.report.tables import Cell, Table, case_page

WORDS = {
    "query-value": "query, value", "attention": "attention", "mlp": "feed-forward", "all-linear": "all linear",
    "all-linear+embeddings": "all linear, embeddings",
}  # fmt: skip
"""Targets that are compared, fewest layers first."""
REFERENCE = "all-linear"
METHOD = "lora"


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what adapters on each kind of layer learned, and what they cost."""
    return [
        gives("What adapters on each kind of layer give", _swept(cases, is_scored), HEADINGS),
        costs("What adapters on each kind of layer cost", _swept(cases, is_timed), HEADINGS),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy, and speed and memory, by kind of layer."""
    return both_charts("targets", _swept(cases, is_scored), _swept(cases, is_timed), _name, "adapted layers")


def _swept(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> list[Sweep]:
    chosen = [case for case in cases if case.config.method == METHOD and case.config.options["targets"] in WORDS]
    return sweeps(
        chosen, ("targets", "as_many_as"), wanted=wanted, order=_order,
        reference=lambda case: case.config.options["targets"] == REFERENCE and not _matched(case),
    )  # fmt: skip


def _matched(case: Case) -> str:
    """Return the targets whose number of parameters a case has, if it was matched."""
    return str(case.config.options.get("as_many_as", ""))


def _order(case: Case) -> tuple[str, int]:
    return _matched(case), list(WORDS).index(str(case.config.options["targets"]))


def _name(case: Case) -> str:
    alike = f", as many as {WORDS.get(_matched(case), _matched(case))}" if _matched(case) else ""
    return WORDS[str(case.config.options["targets"])] + alike


def _built(name: str) -> Callable[[Case], Cell]:
    """Show what the built adapter really was."""
    return lambda case: Cell(str(case.answers[-1].record.resolved.get(name, "")) if case.answers else "")


HEADINGS: Told = {
    "targets": ("adapted layers", lambda case: Cell(_name(case), link=case_page(case))),
    "found": ("found in the model", _built("adapter.targets")),
    "layers": ("layers", _built("adapter.layers")),
    "rank": ("rank", _built("adapter.rank")),
}
