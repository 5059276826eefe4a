"""How cost grows with the model: Full, LoRA and QLoRA along the ladder, where it ran. Claims C03 to C05."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.cases import RAN, Case
from bench.analysis.families import OPTIONS
from bench.report.asked import METHOD, Told
from bench.report.chart import GIB, LOOKS, Chart, drawn, label
from bench.report.summary import method_label, model_label
from bench.report.sweeps import TENSORS, Sweep, costs, is_timed, sweeps
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema import Kind
from bench.schema.models import MODELS

METHODS = ("full", "lora", "qlora")
APART = ("method", OPTIONS, "learning_rate", "merge", "autocast")
"""What differs between methods that do the same work on one model."""
OPTIMIZER = "adamw_fused"
SIZE = "parameters.total"
NOTE = "Ratios are to full fine-tuning of the same model."
SYMBOLS = {"measured": "circle", "predicted": "circle-open", "dry": "circle"}


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what every method costs on every model, runs first, then predictions."""
    return [costs("How cost grows with the model", _swept(cases), HEADINGS, (NOTE,))]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return peak memory against the number of parameters, where there is more than one model."""
    shown = [case for sweep in _swept(cases) for case in sweep.cases]
    points = [(case, estimated(case, SIZE), estimated(case, TENSORS)) for case in shown]
    known = [point for point in points if point[1].is_number and point[2].is_number]
    if len({case.config.model for case, _, _ in known}) < 2:
        return []
    groups = dict.fromkeys((case.config.method, case.device, case.kind.value) for case, _, _ in known)
    traces = [_line(*group, [p for p in known if _group(p[0]) == group]) for group in groups]
    largest = max(known, key=lambda point: point[1].number)
    layout = {
        "xaxis": {"title": {"text": "parameters"}, "type": "log"},
        "yaxis": {"title": {"text": "peak tensor memory while training, GiB"}, "type": "log"},
    }
    rows = tuple({"case": Cell(_name(case)), "size": size, "peak": peak} for case, size, peak in points)
    columns = Column("case", "run"), Column("size", "parameters"), Column("peak", "peak")
    table = Table("Peak memory by size", columns, rows)
    peaks = [(case, peak) for case, _, peak in known if case.config.model == largest[0].config.model]
    said = ", ".join(f"{_name(case)} {peak.text}" for case, peak in peaks)
    return [Chart("sizes-peak", f"Peak tensor memory on the largest model: {said}.", drawn(traces, layout), table)]


def _group(case: Case) -> tuple[str, str, str]:
    return case.config.method, case.device, case.kind.value


def _line(method: str, device: str, kind: str, points: Sequence[tuple[Case, Cell, Cell]]) -> dict[str, Any]:
    colour, _, dash = LOOKS[method]
    return {
        "type": "scatter", "mode": "lines+markers", "name": label(f"{method_label(method)}, {device}, {kind}"),
        "x": [size.value for _, size, _ in points], "y": [peak.number / GIB for _, _, peak in points],
        "text": [label(model_label(case.config.model)) for case, _, _ in points],
        "line": {"color": colour, "dash": dash}, "marker": {"symbol": SYMBOLS[kind], "size": 9},
        "hovertemplate": "%{text}: %{y:.3g} GiB<extra></extra>",
    }  # fmt: skip


def _swept(cases: Sequence[Case]) -> list[Sweep]:
    chosen = [
        case for case in cases if case.config.method in METHODS and not case.config.changed_options and _is_usual(case)
    ]
    kinds = ([case for case in chosen if case.kind in RAN], [case for case in chosen if case.kind is Kind.PREDICTED])
    found = [
        sweep
        for of_kind in kinds
        for sweep in sweeps(of_kind, APART, wanted=is_timed, order=_order,
                            reference=lambda case: case.config.method == "full")
    ]  # fmt: skip
    return sorted(found, key=lambda sweep: (sweep.cases[0].device, _size(sweep.cases[0])))


def _is_usual(case: Case) -> bool:
    return case.config.base == "plain" and case.config.optimizer == OPTIMIZER


def _order(case: Case) -> int:
    return METHODS.index(case.config.method)


def _size(case: Case) -> int:
    return MODELS[case.config.model].parameters if case.config.model in MODELS else 0


def _name(case: Case) -> str:
    return f"{model_label(case.config.model)} {method_label(case.config.method)}, {case.kind.value}"


HEADINGS: Told = {"size": ("parameters", lambda case: estimated(case, SIZE)), **METHOD}
