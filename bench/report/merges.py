"""Merges of adapters for people: which cases they are, what they are called, and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import largest, setting
from bench.report.chart import RUN_LOOKS, Chart, drawn, label
from bench.report.named_rows import row_layout, row_name
from bench.report.summary import method_label
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS

STUDY = "merging"
WAYS: Mapping[str, str] = {
    "in_place": "in place",
    "dequantized": "expanded, merged",
    "requantized": "expanded, merged, quantised",
    "original": "into the original",
    "original_requantized": "into the original, quantised",
    "repeated": "in and out again",
}
BASES = ("plain", "int8", "nf4", "fp4")
COLOURS = {"nf4": "#0072B2", "fp4": "#009E73", "int8": "#D55E00"}
SYMBOLS = {"nf4": "circle", "fp4": "diamond", "int8": "square"}
OTHER = ("#CC79A7", "x")
MODELS = {
    "evaluate.accuracy_before": ("base", "#999999"),
    "evaluate.accuracy": ("unmerged", "#0072B2"),
    "merging.accuracy": ("merged", "#D55E00"),
}
TRAINING = ("method", "rank", "alpha", "targets", "steps", "learning_rate")
"""Settings that decide what there is to merge."""
ROUNDS = "merging.round_drift"
KEPT, SIZE = "merging.update_kept", "merging.update_size"


def merges(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of this study, newest software stack only: by base, then way, then how much was trained."""
    return sorted((case for case in newest(ran(cases)) if case.config.study == STUDY), key=_order)


def _order(case: Case) -> tuple[object, ...]:
    config = case.config
    way = list(WAYS).index(str(config.study_options["way"]))
    base = BASES.index(str(config.options.get("quant_type", config.base)))
    learned = (config.method, config.options.get("rank", 0), config.options.get("alpha", 0), config.steps)
    return case.device, config.model, config.task, base, config.dtype, way, *learned, config.learning_rate, case.name


def held(case: Case) -> str:
    """Return the type that the base's weights were held in: nf4, fp4, int8, or the dtype of a plain one."""
    found = str(case.config.options.get("quant_type", case.config.base))
    return case.config.dtype if found == "plain" else found


def base_label(case: Case) -> str:
    """Say how the base was held, with the dtype of the rest where that is not float32."""
    rest = case.config.dtype
    return held(case) if rest in (held(case), "float32") else f"{held(case)}, {rest}"


def name(case: Case) -> str:
    """Name a base and a way in few words."""
    return f"{base_label(case)} {WAYS[str(case.config.study_options['way'])]}"


def adapter_label(case: Case) -> str:
    """Name an adapter with its rank and alpha, where it has them."""
    options = case.config.options
    rank = f" r{options['rank']}" if "rank" in options else ""
    alpha = f", alpha {options['alpha']}" if "alpha" in options else ""
    return f"{method_label(case.config.method)}{rank}{alpha}"


def adapter_on_layers(case: Case) -> str:
    """Name an adapter with its rank, alpha and the layers it sits on, where it has them."""
    targets = case.config.options.get("targets")
    return f"{adapter_label(case)}{f' on {targets}' if targets else ''}"


def in_place(case: Case) -> bool:
    """Tell whether a case's adapter was merged as peft does it."""
    return case.config.study_options["way"] == "in_place"


def kept_by_way(cases: Sequence[Case]) -> Chart | None:
    """Bars of the share of the update that is in the merged weights, one a base and way, of equal training."""
    found = {name(case): (case, estimated(case, KEPT)) for case in reversed(_alike(cases, *TRAINING))}
    known = {text: cell for text, (_, cell) in reversed(found.items()) if cell.is_number}
    if not known:
        return None
    trace = {
        "type": "bar", "orientation": "h", "y": [row_name(text) for text in known],
        "x": [100 * cell.number for cell in known.values()],
        "marker": {"color": [COLOURS.get(held(found[text][0]), OTHER[0]) for text in known]},
    }  # fmt: skip
    layout = {"showlegend": False, **row_layout(list(known), "of the update kept in the weights, %")}
    worst = max(known, key=lambda text: abs(1 - known[text].number))
    best = min(known, key=lambda text: abs(1 - known[text].number))
    finding = f"Of the update, {known[worst].text} is in the weights merged {worst}, {known[best].text} merged {best}."
    rows = tuple({"way": Cell(text), "kept": cell, "size": estimated(found[text][0], SIZE)}
                 for text, cell in known.items())  # fmt: skip
    columns = (Column("way", "base and way"), Column("kept", "kept", METRICS[KEPT].about), Column("size", "update"))
    return Chart("merging-kept", finding, drawn([trace], layout), Table("What a merge keeps", columns, rows))


def _alike(cases: Sequence[Case], *settings: str) -> list[Case]:
    """Return the cases of a device, model and task, and alike in `settings`, of which there are most.

    Ties go to the first. Merges in rounds are left out: they give no merged model.
    """

    def alike(case: Case) -> tuple[object, ...]:
        return case.device, case.stack, *(setting(case.config, name) for name in ("model", "task", *settings))

    return largest([case for case in cases if case.config.study_options["way"] != "repeated"], alike)


def kept_by_size(cases: Sequence[Case]) -> Chart | None:
    """Points of the share kept against the size of the update, of merges in place into a quantised base."""
    chosen = [case for case in _alike(cases) if in_place(case) and held(case) in COLOURS]
    found = [(case, estimated(case, SIZE), estimated(case, KEPT)) for case in chosen]
    known = [row for row in found if row[1].is_number and row[2].is_number]
    if len(known) < 2:
        return None
    traces = [_points(base, [row for row in known if held(row[0]) == base]) for base in COLOURS]
    layout = {
        "xaxis": {"title": {"text": "size of the update, % of the weights"}, "type": "log"},
        "yaxis": {"title": {"text": "of the update kept in the weights, %"}, "rangemode": "tozero"},
    }
    rows = tuple({"case": Cell(_training(case)), "size": size, "kept": kept} for case, size, kept in known)
    columns = (Column("case", "base and training"), Column("size", "update"), Column("kept", "kept"))
    table = Table("What a merge in place keeps, by the size of the update", columns, rows)
    figure = drawn([trace for trace in traces if trace["x"]], layout)
    return Chart("merging-size", _size_finding(known), figure, table)


def _points(base: str, rows: Sequence[tuple[Case, Cell, Cell]]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": base,
        "x": [100 * size.number for _, size, _ in rows], "y": [100 * kept.number for _, _, kept in rows],
        "text": [label(_training(case)) for case, _, _ in rows],
        "marker": {"color": COLOURS[base], "symbol": SYMBOLS[base], "size": 11},
        "hovertemplate": "%{text}: %{x:.3g} %, kept %{y:.3g} %<extra></extra>",
    }  # fmt: skip


def _size_finding(known: Sequence[tuple[Case, Cell, Cell]]) -> str:
    """Say what the smallest and the largest update of every base keep."""
    said = []
    for base in COLOURS:
        rows = sorted((row for row in known if held(row[0]) == base), key=lambda row: row[1].number)
        ends = [f"{kept.text} of an update of {size.text}" for _, size, kept in (*rows[:1], *rows[1:][-1:])]
        if ends:
            said.append(f"{base} keeps {' and '.join(ends)} of the weights")
    return f"Merged in place, {'; '.join(said)}."


def right_by_way(cases: Sequence[Case]) -> Chart | None:
    """Bars of the test items right: base, unmerged, merged; by base and way, of equal training."""
    chosen = [case for case in _alike(cases, *TRAINING) if estimated(case, "merging.accuracy").is_number]
    if not chosen:
        return None
    names = [name(case) for case in chosen]
    cells = {metric: [estimated(case, metric) for case in chosen] for metric in MODELS}
    traces = [
        {"type": "bar", "orientation": "h", "name": text, "y": list(map(row_name, names)),
         "x": [100 * cell.number for cell in cells[metric]], "marker": {"color": colour}}
        for metric, (text, colour) in MODELS.items()
    ]  # fmt: skip
    layout = {"barmode": "group", **row_layout(names, "test items right, %", bars=len(MODELS))}
    finding = _loss_finding(chosen)
    rows = tuple({"way": Cell(name(case)), **{metric: cells[metric][place] for metric in MODELS}}
                 for place, case in enumerate(chosen))  # fmt: skip
    columns = (Column("way", "base and way"), *(Column(metric, text) for metric, (text, _) in MODELS.items()))
    return Chart("merging-right", finding, drawn(traces, layout), Table("Test items right", columns, rows))


def _training(case: Case) -> str:
    """Name what may differ among merges in place."""
    return f"{base_label(case)}, {adapter_label(case)}, {case.config.steps} steps at {case.config.learning_rate:g}"


def _loss_finding(cases: Sequence[Case]) -> str:
    """Name the merge after which the fewest of the items that were right unmerged are right."""
    lost = max(cases, key=lambda case: _share(case, "evaluate.accuracy") - _share(case, "merging.accuracy"))
    before, after = (estimated(lost, metric) for metric in ("evaluate.accuracy", "merging.accuracy"))
    if after.number >= before.number:
        return "No merge answers fewer test items right than the unmerged model."
    return (
        f"Merging costs most when it is {name(lost)}: {before.text} of the test items right before, {after.text} after."
    )


def drifts(cases: Sequence[Case]) -> Chart | None:
    """Lines of how far the base has moved after every round of merging and taking out again, one a case."""
    found = {_training(case): case.ok[-1].record.series.get(ROUNDS, ()) for case in cases if case.ok}
    known = {text: [value or None for value in values] for text, values in found.items() if values}  # no log of 0
    if not known:
        return None
    traces = [
        {"type": "scatter", "mode": "lines+markers", "name": label(text), "x": list(range(1, len(values) + 1)),
         "y": [None if value is None else 100 * value for value in values], "line": {"color": colour, "dash": dash}}
        for (text, values), (colour, dash) in zip(known.items(), cycle(RUN_LOOKS), strict=False)
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "rounds of merging and taking out again"}},
        "yaxis": {"title": {"text": "drift of the base, % of its norm"}, "type": "log", "exponentformat": "power"},
    }
    cells = {text: [Cell(value, "%") if value else Cell(None, "%", brief="0") for value in values]
             for text, values in known.items()}  # fmt: skip
    said = "; ".join(f"{row[-1].text} after {len(row)} rounds ({text})" for text, row in cells.items())
    longest = max(map(len, cells.values()))
    columns = (Column("round", "round"), *(Column(text, text) for text in cells))
    rows = tuple(
        {"round": Cell(str(n)), **{text: row[n - 1] for text, row in cells.items() if n <= len(row)}}
        for n in range(1, longest + 1)
    )
    return Chart("merging-drift", f"The base drifts: {said}.", drawn(traces, layout), Table("Drift", columns, rows))


def _share(case: Case, metric: str) -> float:
    return estimated(case, metric).number
