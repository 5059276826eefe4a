"""Many adapters in one model, for people: which cases they are, and their charts by the number of adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import families
from bench.report.chart import Chart, drawn, label
from bench.report.merges import BASES, adapter_on_layers, base_label
from bench.report.tables import Cell, Column, Table, estimated

STUDY = "adapters"
MIB, MILLI = 2**20, 1000
TIMES = {
    "adapters.load_seconds": "load",
    "adapters.swap_seconds": "hot-swap",
    "adapters.set_seconds": "set",
    "adapters.delete_seconds": "delete",
    "adapters.mixed_seconds": "mixed batch",
    "adapters.single_seconds": "batch of one adapter",
}
BYTES = {"adapters.weights": "all adapters", "adapters.base_weights": "base"}


def crowds(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of this study, newest software stack only: by base and adapter, then how many there are."""
    return sorted((case for case in newest(ran(cases)) if case.config.study == STUDY), key=_order)


def _order(case: Case) -> tuple[object, ...]:
    config = case.config
    base = BASES.index(str(config.options.get("quant_type", config.base)))
    adapter = (config.method, config.options.get("rank", 0), str(config.options.get("targets", "")))
    return case.device, config.model, base, config.dtype, *adapter, config.batch_size, count(case), case.name


def count(case: Case) -> int:
    """Return how many adapters a case's model holds."""
    return int(case.config.study_options["count"])


def work_label(case: Case) -> str:
    """Say how many sequences the batch has, and how long they are."""
    return f"{case.config.batch_size} × {case.config.study_options['prompt_tokens']}"


def times(cases: Sequence[Case]) -> Chart | None:
    """Lines of seconds by the number of adapters, one an operation."""
    return _by_count(cases, "adapters-time", TIMES, MILLI, "milliseconds", "Seconds by the number of adapters")


def memory(cases: Sequence[Case]) -> Chart | None:
    """Lines of bytes by the number of adapters: all of them, and the base that they share."""
    return _by_count(cases, "adapters-memory", BYTES, 1 / MIB, "MiB", "Bytes by the number of adapters")


def _by_count(
    cases: Sequence[Case], key: str, metrics: Mapping[str, str], scale: float, unit: str, title: str
) -> Chart | None:
    chosen: Sequence[Case] = max(families(cases, by=("count",)), key=len, default=())
    cells = {metric: [estimated(case, metric) for case in chosen] for metric in metrics}
    known = {metric: row for metric, row in cells.items() if any(cell.is_number for cell in row)}
    if not known:
        return None
    numbers = [count(case) for case in chosen]
    traces = [
        {"type": "scatter", "mode": "lines+markers", "name": label(metrics[metric]), "x": numbers,
         "y": [cell.number * scale if cell.is_number else None for cell in row]}
        for metric, row in known.items()
    ]  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "adapters in the model"}, "type": "log", "tickvals": numbers},
        "yaxis": {"title": {"text": unit}, "type": "log"},
    }
    ends = "; ".join(f"{metrics[metric]} {row[0].text} to {row[-1].text}" for metric, row in known.items())
    rows = tuple({"count": Cell(str(n)), **{metric: row[place] for metric, row in known.items()}}
                 for place, n in enumerate(numbers))  # fmt: skip
    columns = (Column("count", "adapters"), *(Column(metric, metrics[metric]) for metric in known))
    finding = (
        f"{base_label(chosen[0])}, {adapter_on_layers(chosen[0])}, from {numbers[0]} to {numbers[-1]} adapters: {ends}."
    )
    return Chart(key, finding, drawn(traces, layout), Table(title, columns, rows))
