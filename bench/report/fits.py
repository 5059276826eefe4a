"""What fits on which card: predicted models and methods as rows, cards as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import Case
from bench.analysis.predictions import card
from bench.analysis.values import is_answer
from bench.report.forecast import number, told, verdict
from bench.report.summary import method_cell, model_label, optimizer_label, work_cell
from bench.report.tables import Cell, Column, Table, case_page, sources
from bench.schema.gpus import SKUS
from bench.schema.models import MODELS

PEAK = "train.peak_process"
NOTES = (
    "Predicted peaks of training, what lies outside torch included; nothing was run. Each leads to its prediction.",
    "A run that does not fit was simulated without a limit, so that its need is known.",
)


def fits(predicted: Sequence[Case]) -> Table:
    """Return one row for each configuration predicted on any card, small models first; a column a card."""
    rows: dict[str, dict[str, Case]] = {}
    for case in predicted:
        rows.setdefault(case.name, {})[case.device] = case
    devices = sorted({case.device for case in predicted}, key=_capacity)
    first = [next(iter(found.values())) for found in rows.values()]
    checkpointed = {words_of(case) for case in first}
    columns = (
        Column("model", "model"), Column("method", "method"), Column("optimizer", "optimiser"),
        Column("work", "batch × length"), Column("checkpointing", "checkpointing", detail=len(checkpointed) < 2),
        *(Column(device, _label(rows, device)) for device in devices),
    )  # fmt: skip
    made = [_row(found, devices) for found in sorted(rows.values(), key=_order)]
    return Table("What fits on which card", columns, tuple(made), NOTES if made else ())


def words_of(case: Case) -> str:
    """Say whether activations are checkpointed."""
    return "yes" if case.config.gradient_checkpointing else "no"


def _row(found: Mapping[str, Case], devices: Sequence[str]) -> Mapping[str, Cell]:
    case = next(iter(found.values()))
    return {
        "model": Cell(model_label(case.config.model)), "method": Cell(method_cell(case).text),
        "optimizer": Cell(optimizer_label(case.config.optimizer)), "work": work_cell(case),
        "checkpointing": Cell(words_of(case)),
        **{device: _cell(found.get(device)) for device in devices},
    }  # fmt: skip


def _cell(case: Case | None) -> Cell:
    if case is None:
        return Cell(None, reason="nobody predicted it", brief="-")
    record = told(case)
    if not is_answer(record):
        return Cell("no prediction", link=case_page(case))
    peak = number(case, PEAK)
    return Cell(f"{verdict(record)}: {peak.text}", kind=case.kind.value, link=case_page(case), runs=sources(case))


def _capacity(device: str) -> tuple[int, str]:
    slug = device.removeprefix("fake-")
    return next((sku.memory_gib for sku in SKUS if sku.slug == slug), 0), device


def _label(rows: Mapping[str, Mapping[str, Case]], device: str) -> str:
    case = next(found[device] for found in rows.values() if device in found)
    known = card(case)
    return known.name if known else device


def _order(found: Mapping[str, Case]) -> tuple[object, ...]:
    case = next(iter(found.values()))
    size = MODELS[case.config.model].parameters if case.config.model in MODELS else 0
    return size, case.config.model, case.name
