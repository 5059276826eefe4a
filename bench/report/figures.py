"""Charts of what was compared, and of the runs of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.cases import Case
from bench.analysis.match import Comparison, Matched
from bench.report.chart import GIB, LOOKS, OTHER_LOOK, RUN_LOOKS, Chart, drawn, label
from bench.report.summary import method_label
from bench.report.tables import Cell, Column, Table, estimated

MOST_POINTS = 200
"""Points of a line; of more steps every n-th is drawn."""
PHASES = (("load", "load"), ("train", "train"), ("evaluate", "evaluate"))


def tradeoff(found: Comparison, key: str) -> Chart | None:
    """Accuracy against peak training memory, one point a method; speed where there is no accuracy."""
    accuracy = {m: estimated(case, "evaluate.accuracy") for m, case in found.learning.cases.items()}
    memory_name = _memory_metric(found.learning, "train")
    memory = {m: estimated(case, memory_name) for m, case in found.learning.cases.items()}
    both = [m for m in accuracy if accuracy[m].is_number and memory[m].is_number]
    if not both:
        return _speeds(found, key)
    traces = [_point(method, memory[method], accuracy[method]) for method in both]
    what = "tensor" if memory_name.endswith("allocated") else "process"
    layout = {
        "xaxis": {"title": {"text": f"peak {what} memory while training, GiB"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "test items right, %"}},
        "showlegend": False,
    }
    least = min(both, key=lambda m: memory[m].number)
    finding = (
        f"{_most_accurate({m: accuracy[m] for m in both})}; {method_label(least)} has "
        f"the lowest peak of {what} memory while training ({_brief(memory[least])})."
    )
    rows = [{"method": Cell(method_label(m)), "memory": memory[m], "accuracy": accuracy[m]} for m in accuracy]
    columns = (Column("method", "method"), Column("memory", f"peak {what} memory"), Column("accuracy", "accuracy"))
    return Chart(key, finding, drawn(traces, layout), Table("Accuracy and memory", columns, tuple(rows)))


def _most_accurate(accuracy: Mapping[str, Cell]) -> str:
    """Name the method with most items right only where its interval lies above all the others'."""
    best = max(accuracy, key=lambda m: accuracy[m].number)
    others = [cell.high for method, cell in accuracy.items() if method != best]
    low = accuracy[best].low
    if others and low is not None and all(high is not None and high < low for high in others):
        return f"{method_label(best)} answers most test items right ({_brief(accuracy[best])})"
    listed = ", ".join(f"{method_label(method)} {_brief(cell)}" for method, cell in accuracy.items())
    return f"Test items right: {listed}" + ("; these intervals do not tell the methods apart" if others else "")


def _point(method: str, memory: Cell, accuracy: Cell) -> dict[str, Any]:
    colour, symbol, _ = LOOKS.get(method, OTHER_LOOK)
    y = 100 * accuracy.number
    bars = {"error_y": _bars(y, 100, accuracy)} if accuracy.low is not None else {}
    return {
        "type": "scatter", "mode": "markers+text", "name": label(method_label(method)),
        "x": [memory.number / GIB], "y": [y], "text": [label(method_label(method))], "textposition": "middle right",
        "marker": {"color": colour, "symbol": symbol, "size": 13}, "cliponaxis": False,
        "hovertemplate": "%{text}: %{x:.3g} GiB, %{y:.3g} %<extra></extra>", **bars,
    }  # fmt: skip


def _bars(y: float, factor: float, cell: Cell) -> dict[str, Any]:
    low, high = (y if side is None else factor * side for side in (cell.low, cell.high))
    return {"type": "data", "symmetric": False, "array": [high - y], "arrayminus": [y - low], "thickness": 1.5}


def _speeds(found: Comparison, key: str) -> Chart | None:
    cells = {m: estimated(case, "train.tokens_per_second") for m, case in found.speed.cases.items()}
    known = {m: cell for m, cell in cells.items() if cell.is_number}
    if not known:
        return None
    traces = []
    for method, cell in known.items():
        bars = {"error_y": _bars(cell.number, 1, cell)} if cell.low is not None else {}
        name = label(method_label(method))
        colour = LOOKS.get(method, OTHER_LOOK)[0]
        traces.append(
            {"type": "bar", "name": name, "x": [name], "y": [cell.number], "marker": {"color": colour}, **bars}
        )
    fastest = max(known, key=lambda m: known[m].number)
    finding = f"{method_label(fastest)} trains fastest: {_brief(known[fastest])}. No test set was scored."
    rows = tuple({"method": Cell(method_label(m)), "speed": cell} for m, cell in cells.items())
    table = Table("Training speed", (Column("method", "method"), Column("speed", "tokens/s")), rows)
    layout = {"yaxis": {"title": {"text": "tokens/s"}, "rangemode": "tozero"}, "showlegend": False}
    return Chart(key, finding, drawn(traces, layout), table)


def phases(found: Comparison, key: str) -> Chart | None:
    """Peak memory of each phase, bars by method."""
    matched = found.learning if found.learning.cases else found.speed
    name = _memory_metric(matched, "train")
    what = name.rpartition(".")[2]
    rows, traces = [], []
    for method, case in matched.cases.items():
        cells = {phase: estimated(case, f"{phase}.{what}") for phase, _ in PHASES}
        rows.append({"method": Cell(method_label(method)), **cells})
        known = [(text, cells[phase]) for phase, text in PHASES if cells[phase].is_number]
        if known:
            traces.append({
                "type": "bar", "name": label(method_label(method)), "x": [text for text, _ in known],
                "y": [cell.number / GIB for _, cell in known], "marker": {"color": LOOKS.get(method, OTHER_LOOK)[0]},
                "hovertemplate": "%{x}: %{y:.3g} GiB<extra>%{fullData.name}</extra>",
            })  # fmt: skip
    trained = {str(row["method"].value): row["train"] for row in rows if row["train"].is_number}
    if not trained:
        return None
    kind = "tensors" if what == "peak_allocated" else "the process"
    listed = ", ".join(f"{method} {_brief(cell)}" for method, cell in trained.items())
    layout = {"yaxis": {"title": {"text": f"peak memory of {kind}, GiB"}, "rangemode": "tozero"}, "barmode": "group"}
    columns = (Column("method", "method"), *(Column(phase, text) for phase, text in PHASES))
    table = Table(f"Peak memory of {kind} by phase", columns, tuple(rows))
    return Chart(key, f"Peak memory of {kind} while training: {listed}.", drawn(traces, layout), table)


def series(case: Case, name: str, title: str, unit: str, key: str) -> Chart | None:
    """One raw series of every run of a case, step by step; a value that was not finite is a gap.

    Of many steps every n-th is drawn.
    """
    runs = [run for run in case.runs if any(v is not None for v in run.record.series.get(name, ()))]
    if not runs:
        return None
    longest = max(len(run.record.series[name]) for run in runs)
    stride = -(-longest // MOST_POINTS)
    traces = []
    for place, run in enumerate(runs):
        colour, dash = RUN_LOOKS[place % len(RUN_LOOKS)]
        values = run.record.series[name][::stride]
        traces.append({
            "type": "scatter", "mode": "lines+markers" if len(values) < 2 else "lines",
            "name": f"seed {run.record.config.seed}", "x": list(range(1, longest + 1, stride))[: len(values)],
            "y": list(values), "line": {"color": colour, "dash": dash, "width": 2},
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": unit}, "rangemode": "tozero"}}
    columns = (Column("step", "step"), *(Column(run.run, f"seed {run.record.config.seed}") for run in runs))
    rows = tuple(
        {"step": Cell(str(step + 1)), **{run.run: _at(run.record.series[name], step, unit) for run in runs}}
        for step in range(longest)
    )
    count = "one run" if len(runs) == 1 else f"{len(runs)} runs"
    drawn_ones = "" if stride == 1 else f", one in {stride} drawn"
    finding = f"{title} of {count}, {longest} steps{drawn_ones}."
    return Chart(key, finding, drawn(traces, layout), Table(title, columns, rows))


def _at(values: Sequence[float | None], step: int, unit: str) -> Cell:
    if step >= len(values):
        return Cell("")
    number = values[step]
    base = unit if unit == "s" else "1"
    return Cell(None, base, reason="not finite") if number is None else Cell(float(number), base)


def _memory_metric(matched: Matched, phase: str) -> str:
    """Tensor memory when every method has it, else process memory: never a mixture of the two."""
    allocated = f"{phase}.peak_allocated"
    good = [case for case in matched.cases.values() if case.ok]
    return allocated if all(case.values(allocated) for case in good) else f"{phase}.peak_resident"


def _brief(cell: Cell) -> str:
    return cell.text.partition(" (")[0]
