"""The first columns of a table of cases: who, of which kind, how much work, and whatever sets its rows apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.analysis.cases import Case
from bench.report.summary import method_cell, model_label, task_label, work_cell
from bench.report.tables import Cell, Column
from bench.schema.config import Protocol
from bench.schema.protocols import PROTOCOLS


def _paging(case: Case) -> str:
    config = case.config
    counted = ", counted" if config.uvm_counters else ""
    return config.paging + (f" {config.paging_fraction:.0%}" if config.paging != "none" else "") + counted


def _loop(case: Case) -> str:
    """Name whose training loop a case has."""
    protocol = case.config.protocol
    named = (name for name, loop in PROTOCOLS.items() if loop.settings.get("protocol") == protocol)
    return "ours" if protocol == Protocol() else next(named, "another")


def _options(case: Case) -> str:
    """List the method's options that differ from its defaults; the rank stands beside the method's name."""
    return ", ".join(f"{name} {value}" for name, value in case.config.changed_options.items() if name != "rank")


APART: Mapping[str, tuple[str, Callable[[Case], str]]] = {
    "model": ("model", lambda case: model_label(case.config.model)),
    "task": ("task", lambda case: task_label(case.config.task)),
    "device": ("device", lambda case: case.device),
    "dtype": ("dtype", lambda case: case.config.dtype),
    "optimizer": ("optimizer", lambda case: case.config.optimizer),
    "paging": ("paging", _paging),
    "checkpointing": ("checkpointing", lambda case: "yes" if case.config.gradient_checkpointing else "no"),
    "options": ("options", _options),
    "loop": ("loop", _loop),
}
"""What may differ between cases: label and words. Short tables have the ones that do differ."""


def headings(cases: Sequence[Case]) -> tuple[Column, ...]:
    """Return the first columns of a table of these cases."""
    apart = (
        Column(key, label, detail=len({words(case) for case in cases}) <= 1) for key, (label, words) in APART.items()
    )
    return (
        Column("method", "method"), Column("kind", "kind"), Column("work", "batch × length"), *apart,
        Column("case", "case", detail=True),
    )  # fmt: skip


def heading(case: Case) -> Mapping[str, Cell]:
    """Return the first cells of a case's row."""
    return {
        "method": method_cell(case),
        "kind": Cell(case.kind.value),
        "work": work_cell(case),
        **{key: Cell(words(case)) for key, (_, words) in APART.items()},
        "case": Cell(case.name),
    }
