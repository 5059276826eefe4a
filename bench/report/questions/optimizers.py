"""What an optimiser costs and gives: bytes of its state, the step, what is learned. Claim C18."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis.cases import Case
from bench.report.asked import METHOD, Told, table
from bench.report.chart import Chart
from bench.report.summary import optimizer_label
from bench.report.sweep_charts import both_charts
from bench.report.sweeps import WORK, Sweep, at_usual_rates, costs, gives, is_scored, is_timed, sweeps
from bench.report.tables import Cell, Table, case_page, ending
from bench.schema.catalogue import OPTIMIZERS

STATE = "paging.state_bytes"
STATES = {STATE: "state", "at_peak.optimizer_state": "of it at the peak", "train.step_seconds": "step"}
REFERENCE = "adamw_fused"
NOTE = "State against trainable: bytes of state for every trained parameter."


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return the optimisers' states and steps, what they cost beside AdamW, and what they learned."""
    timed, scored = _swept(cases, is_timed), _swept(cases, is_scored)
    shown = [case for sweep in timed for case in sweep.cases]
    more: Told = {"bytes": ("state against trainable", _bytes_each)}
    return [
        table("What optimisers keep, and how long they step", shown, {**HEADINGS, **WORK}, STATES, more=more,
              notes=(NOTE,)),
        costs("What optimisers cost beside AdamW", timed, HEADINGS),
        gives("What optimisers give", scored, HEADINGS),
    ]  # fmt: skip


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy, and speed and memory, by optimiser."""
    return both_charts("optimizers", _swept(cases, is_scored), _swept(cases, is_timed), _name, "optimiser")


def _swept(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> list[Sweep]:
    chosen = [case for case in cases if case.config.optimizer in OPTIMIZERS]
    found = sweeps(chosen, ("optimizer", "learning_rate"), wanted=wanted, order=_order,
                   reference=lambda case: case.config.optimizer == REFERENCE)  # fmt: skip
    return [at_usual_rates(sweep, lambda case: case.config.optimizer) for sweep in found]


def _order(case: Case) -> int:
    return list(OPTIMIZERS).index(case.config.optimizer)


def _name(case: Case) -> str:
    return optimizer_label(case.config.optimizer)


def _bytes_each(case: Case) -> Cell:
    """Say how many bytes of state there are for a trained parameter."""
    states, trained = case.values(STATE), case.values("parameters.trainable")
    if not states or not trained:
        return Cell(None, "B", link=case_page(case), reason=case.reason(STATE), brief=ending(case))
    return Cell(states[-1] / trained[-1], "B", n=1, kind="derived", link=case_page(case))


HEADINGS: Told = {"optimizer": ("optimiser", lambda case: Cell(_name(case), link=case_page(case))), **METHOD}
