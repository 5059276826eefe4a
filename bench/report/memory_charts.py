"""What memory is for, as charts: a bar of categories a case, and the categories over one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench.analysis.cases import Case
from bench.report.attribution import TOTAL, category_label
from bench.report.chart import Chart, drawn, label
from bench.report.display import shown
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics.memory import CATEGORIES

GIB = 2**30
COLOURS: Mapping[str, str] = MappingProxyType({
    "base_float32": "#0072B2", "base_bfloat16": "#0072B2", "base_float16": "#0072B2", "base_int8": "#0072B2",
    "base_4bit": "#0072B2", "quantization_state": "#4C9BD0", "adapters": "#D55E00", "buffers": "#8A8F98",
    "gradients": "#CC79A7", "optimizer_state": "#009E73", "activations": "#A67C00", "logits": "#7A52A8",
    "temporaries": "#8A8F98", "other": "#8A8F98",
})  # fmt: skip
"""Colours of categories, the same everywhere, each with a contrast of 3:1 on light and dark; weights share one."""
LEAST = 0.005
"""Share of the total below which a category is not drawn; tables have all."""
INSTANTS = 64
"""Instants of a step that are drawn; its record has all."""
PATTERNS = {"quantization_state": "/", "buffers": "x", "temporaries": ".", "other": "\\"}
"""Fills that keep apart what colours do not."""


def waterfall(cases: Mapping[str, Case], key: str, of: str = "a step") -> Chart | None:
    """Bars of the bytes at the peak of a step, one a case by its name, each category a part; `of` says of what step."""
    known = {name: case for name, case in cases.items() if case.values(TOTAL)}
    if not known:
        return None
    parts = {name: _parts(case) for name, case in known.items()}
    drawn_ones = [category for category in CATEGORIES if any(_counts(found, category) for found in parts.values())]
    traces = [_bars(category, parts) for category in drawn_ones]
    layout = {
        "barmode": "stack", "xaxis": {"title": {"text": "GiB at the peak of a step"}},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"}, "legend": {"traceorder": "normal"},
    }  # fmt: skip
    columns = (Column("case", "run"), *(Column(name, category_label(name)) for name in drawn_ones),
               Column(TOTAL, "total"))  # fmt: skip
    rows = tuple(
        {"case": Cell(name), **{part: estimated(case, f"at_peak.{part}") for part in drawn_ones},
         TOTAL: estimated(case, TOTAL)}
        for name, case in known.items()
    )  # fmt: skip
    said = "; ".join(f"{name}: {_largest(found)}" for name, found in parts.items())
    return Chart(key, f"The peak of {of}. {said}.", drawn(traces, layout), Table("At the peak", columns, rows))


def _parts(case: Case) -> dict[str, float]:
    return {name: values[-1] for name in CATEGORIES if (values := case.values(f"at_peak.{name}"))}


def _counts(parts: Mapping[str, float], category: str) -> bool:
    return parts.get(category, 0) >= LEAST * sum(parts.values())


def _bars(category: str, parts: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "name": category_label(category), "y": [label(name) for name in parts],
        "x": [found.get(category, 0) / GIB for found in parts.values()],
        "marker": {"color": COLOURS[category], "pattern": {"shape": PATTERNS.get(category, "")}},
        "hovertemplate": "%{y}, %{fullData.name}: %{x:.3g} GiB<extra></extra>",
    }  # fmt: skip


def _largest(parts: Mapping[str, float]) -> str:
    """Name the two largest categories with their shares."""
    total = sum(parts.values())
    first = sorted(parts, key=lambda name: -parts[name])[:2]
    return ", ".join(f"{category_label(name)} {shown(parts[name] / total, '%')}" for name in first)


def timeline(case: Case, name: str, key: str) -> Chart | None:
    """Areas of the categories over the traced step of a case, as the allocator saw it."""
    if not case.ok:
        return None
    series = case.ok[-1].record.series
    seconds = series.get("timeline.seconds")
    if not seconds:
        return None
    levels = {category: series[f"timeline.{category}"] for category in CATEGORIES if f"timeline.{category}" in series}
    totals = [sum(value or 0 for value in at) for at in zip(*levels.values(), strict=True)]
    peak = max(range(len(totals)), key=totals.__getitem__)
    drawn_ones = _instants(totals)
    traces = [
        _area(category, [seconds[at] for at in drawn_ones], [values[at] for at in drawn_ones])
        for category, values in levels.items()
        if max(value or 0 for value in values) >= LEAST * max(totals)
    ]
    layout = {
        "xaxis": {"title": {"text": "seconds of the step"}},
        "yaxis": {"title": {"text": "GiB allocated"}, "rangemode": "tozero"}, "legend": {"traceorder": "normal"},
    }  # fmt: skip
    columns = (Column("seconds", "seconds"), *(Column(category, category_label(category)) for category in levels))
    rows = tuple(
        {"seconds": Cell(second, "s"), **{category: Cell(values[place], "B") for category, values in levels.items()}}
        for place, second in enumerate(seconds)
    )
    finding = f"{name}: a step peaks at {shown(totals[peak], 'B')}, {shown(seconds[peak] or 0, 's')} into it."
    return Chart(key, finding, drawn(traces, layout), Table(f"A step of {name}", columns, rows))


def _instants(totals: Sequence[float]) -> list[int]:
    """Return at most so many instants to draw, the highest of each stretch among them, first and last included."""
    stretch = -(-len(totals) // INSTANTS)
    starts = range(0, len(totals), stretch)
    highest = {max(range(at, min(at + stretch, len(totals))), key=totals.__getitem__) for at in starts}
    return sorted(highest | {0, len(totals) - 1})


def _area(category: str, seconds: Sequence[float | None], values: Sequence[float | None]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "stackgroup": "bytes", "name": category_label(category),
        "x": list(seconds), "y": [None if value is None else value / GIB for value in values],
        "line": {"color": COLOURS[category], "width": 0.5, "shape": "hv"}, "fillcolor": COLOURS[category],
        "hovertemplate": "%{fullData.name}: %{y:.3g} GiB<extra></extra>",
    }  # fmt: skip
