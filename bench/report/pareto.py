"""Accuracy against peak memory of every training of one model on one device, and what nothing beats on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.cases import Case
from bench.analysis.families import largest
from bench.analysis.frontier import frontier
from bench.report.chart import GIB, LOOKS, OTHER_LOOK, Chart, drawn, label
from bench.report.merges import adapter_on_layers, base_label
from bench.report.summary import method_label, optimizer_label
from bench.report.sweeps import is_scored
from bench.report.tables import Cell, Column, Table, estimated

RIGHT = "evaluate.accuracy"
FEWEST = 5
"""Trainings from which on the chart says more than a table."""
SORTS = (("train.peak_allocated", "tensor"), ("train.peak_resident", "process"))


def pareto(cases: Sequence[Case], device: str, model: str, key: str) -> Chart | None:
    """Return the chart of the trainings on one task and as many items, of those the most; memory of one sort."""
    scored = [case for case in cases if case.device == device and case.config.model == model and is_scored(case)]
    alike = largest(scored, lambda case: (case.config.task, case.config.evaluate_items, case.stack))
    for metric, what in SORTS:
        found = [(case, estimated(case, metric), estimated(case, RIGHT)) for case in alike]
        known = [row for row in found if row[1].is_number and row[2].is_number]
        if len(known) >= FEWEST:
            return _chart(known, what, key)
    return None


def name(case: Case) -> str:
    """Name a training by what sets it apart: method, layers, base, optimiser, rate."""
    config = case.config
    return (
        f"{adapter_on_layers(case) if 'rank' in config.options else method_label(config.method)}, {base_label(case)}, "
        f"{optimizer_label(config.optimizer)}, rate {config.learning_rate:g}, {config.steps} steps"
    )


def _chart(known: Sequence[tuple[Case, Cell, Cell]], what: str, key: str) -> Chart:
    best = [known[place] for place in frontier([(memory.number, right.number) for _, memory, right in known])]
    methods = list(dict.fromkeys(_group(case) for case, _, _ in known))
    traces = [_points(method, [row for row in known if _group(row[0]) == method]) for method in methods]
    traces.append({
        "type": "scatter", "mode": "lines", "name": "nothing is better on both", "hoverinfo": "skip",
        "x": [memory.number / GIB for _, memory, _ in best], "y": [100 * right.number for _, _, right in best],
        "line": {"shape": "hv", "width": 1.5, "dash": "dot", "color": "#8A8F98"},
    })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": f"peak {what} memory while training, GiB"}},
        "yaxis": {"title": {"text": "test items right, %"}, "rangemode": "tozero"},
    }
    rows = tuple(
        {"case": Cell(name(case), link=right.link), "memory": memory, "right": right,
         "frontier": Cell("yes" if any(case is kept for kept, _, _ in best) else "")}
        for case, memory, right in sorted(known, key=lambda row: row[1].number)
    )  # fmt: skip
    columns = (Column("case", "training"), Column("memory", f"peak {what} memory"), Column("right", "right"),
               Column("frontier", "nothing is better on both"))  # fmt: skip
    ends = [f"{name(case)}, {right.text} at {memory.text}" for case, memory, right in best[:1] + best[1:][-1:]]
    finding = f"Of {len(known)} trainings, {len(best)} are beaten by none on both: from {' to '.join(ends)}."
    return Chart(key, finding, drawn(traces, layout), Table("Accuracy and memory of every training", columns, rows))


def _group(case: Case) -> str:
    method = case.config.method
    return "qlora" if method == "lora" and case.config.base != "plain" else method


def _points(method: str, rows: Sequence[tuple[Case, Cell, Cell]]) -> dict[str, Any]:
    colour, symbol, _ = LOOKS.get(method, OTHER_LOOK)
    return {
        "type": "scatter", "mode": "markers", "name": label(method_label(method)),
        "x": [memory.number / GIB for _, memory, _ in rows], "y": [100 * right.number for _, _, right in rows],
        "text": [label(name(case)) for case, _, _ in rows], "marker": {"color": colour, "symbol": symbol, "size": 10},
        "hovertemplate": "%{text}: %{x:.3g} GiB, %{y:.3g} %<extra></extra>",
    }  # fmt: skip
