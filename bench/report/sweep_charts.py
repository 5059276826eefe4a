"""Charts of sweeps: test items right with their intervals, and speed and memory as ratios to the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.analysis.cases import Case
from bench.analysis.paired import accuracy_difference, verdict
from bench.report.beside import ratio_cell
from bench.report.chart import Chart, drawn, label
from bench.report.sweeps import PROCESS, SPEED, TENSORS, Sweep
from bench.report.tables import Cell, Column, Table, estimated

RIGHT = "evaluate.accuracy"
LINES = (("#0072B2", "solid", "circle"), ("#D55E00", "dash", "square"), ("#009E73", "dot", "diamond"),
         ("#CC79A7", "dashdot", "x"))  # fmt: skip
RATIOS = (
    (SPEED, "tokens/s", "#D55E00", "square"),
    (TENSORS, "peak tensor memory", "#0072B2", "circle"),
    (PROCESS, "peak process memory", "#009E73", "diamond"),
)
"""What is shown against the reference; process memory only where tensors are not known."""

Name = Callable[[Case], str]


def both_charts(
    key: str,
    scored: Sequence[Sweep],
    timed: Sequence[Sweep],
    name: Name,
    axis: str,
    number: Callable[[Case], float] | None = None,
    line: Name | None = None,
) -> list[Chart]:
    """Return what there is of both charts of a question: accuracy of `scored` sweeps, and costs of `timed` ones."""
    right = accuracy_chart(f"{key}-right", scored, name, axis, number, line)
    cost = cost_chart(f"{key}-cost", timed, name, axis, number)
    return [chart for chart in (right, cost) if chart is not None]


def accuracy_chart(
    key: str,
    found: Sequence[Sweep],
    name: Name,
    axis: str,
    number: Callable[[Case], float] | None = None,
    line: Name | None = None,
) -> Chart | None:
    """Return the test items right in the largest sweep, one point a case, over `axis`: numbers, or names.

    Cases of which `line` says the same are joined, in their order.
    """
    sweep = _largest(found, RIGHT)
    if sweep is None:
        return None
    cells = {name(case): (case, estimated(case, RIGHT)) for case in sweep.cases}
    known = {text: (case, cell) for text, (case, cell) in cells.items() if cell.is_number}
    groups: dict[str, dict[str, tuple[Case, Cell]]] = {}
    for text, (case, cell) in known.items():
        groups.setdefault(line(case) if line else "", {})[text] = case, cell
    traces = [_points(group, of, place, number, joined=line is not None)
              for place, (group, of) in enumerate(groups.items())]  # fmt: skip
    layout = {
        "xaxis": _axis(axis, number, known),
        "yaxis": {"title": {"text": "test items right, %"}, "rangemode": "tozero"},
        "showlegend": len(groups) > 1,
    }
    rows = tuple({"case": Cell(text), "right": cell} for text, (_, cell) in cells.items())
    shown = Table("Test items right", (Column("case", axis), Column("right", "right")), rows)
    return Chart(key, best({text: case for text, (case, _) in known.items()}), drawn(traces, layout), shown)


def _points(
    group: str,
    of: dict[str, tuple[Case, Cell]],
    place: int,
    number: Callable[[Case], float] | None,
    *,
    joined: bool,
) -> dict[str, Any]:
    """Return points with their intervals, joined by a line where they are of one."""
    colour, dash, symbol = LINES[place % len(LINES)]
    heights = [100 * cell.number for _, cell in of.values()]
    return {
        "type": "scatter", "mode": "lines+markers" if joined else "markers", "name": label(group),
        "line": {"color": colour, "dash": dash, "width": 1.5},
        "marker": {"color": colour, "size": 10, "symbol": symbol},
        "x": _places(of, number), "y": heights, "text": [label(text) for text in of],
        "error_y": {
            "type": "data", "symmetric": False, "thickness": 1.5,
            "array": [100 * (cell.high or 0) - y for (_, cell), y in zip(of.values(), heights, strict=True)],
            "arrayminus": [y - 100 * (cell.low or 0) for (_, cell), y in zip(of.values(), heights, strict=True)],
        },
        "hovertemplate": "%{text}: %{y:.3g} %<extra></extra>",
    }  # fmt: skip


def best(cases: dict[str, Case]) -> str:
    """Name the case with most test items right, and those that it is not told apart from."""
    cells = {text: estimated(case, RIGHT) for text, case in cases.items()}
    first = max(cells, key=lambda text: cells[text].number)
    words = {text: verdict(accuracy_difference(case, cases[first])) for text, case in cases.items() if text != first}
    ties, worse = ([text for text, word in words.items() if word == kind] for kind in ("tie", "worse"))
    said = f"Most test items right: {first}, {cells[first].text}"
    said += f"; not told apart from it: {', '.join(ties)}" if ties else ""
    return said + (f"; fewer: {', '.join(f'{text} {cells[text].text}' for text in worse)}." if worse else ".")


def cost_chart(
    key: str, found: Sequence[Sweep], name: Name, axis: str, number: Callable[[Case], float] | None = None
) -> Chart | None:
    """Return speed and peak memory of the largest sweep with a reference, as ratios to it, over `axis`."""
    sweep = _largest([sweep for sweep in found if sweep.reference is not None], None)
    if sweep is None or sweep.reference is None:
        return None
    traces, said, columns = [], [], [Column("case", axis)]
    rows: dict[str, dict[str, Cell]] = {name(case): {"case": Cell(name(case))} for case in sweep.cases}
    for metric, what, colour, symbol in RATIOS:
        cells = {name(case): ratio_cell(case, sweep.reference, metric) for case in sweep.cases}
        known = {text: (case, cells[text]) for case in sweep.cases if cells[text := name(case)].is_number}
        if len(known) < 2 or (metric == PROCESS and any(column.key == TENSORS for column in columns)):
            continue
        traces.append({
            "type": "scatter", "mode": "markers", "name": what,
            "marker": {"color": colour, "symbol": symbol, "size": 10},
            "x": _places(known, number), "y": [cell.number for _, cell in known.values()],
            "text": [label(text) for text in known], "hovertemplate": "%{text}: %{y:.3g}×<extra></extra>",
        })  # fmt: skip
        columns.append(Column(metric, what))
        for text, cell in cells.items():
            rows[text][metric] = cell
        ends = [f(known, key=lambda text: known[text][1].number) for f in (min, max)]
        said.append(f"{what} from {known[ends[0]][1].text} ({ends[0]}) to {known[ends[1]][1].text} ({ends[1]})")
    if not traces:
        return None
    layout = {
        "xaxis": _axis(axis, number, {name(case): (case, Cell("")) for case in sweep.cases}),
        "yaxis": {"title": {"text": f"against {label(name(sweep.reference))}, ×"}},
    }
    shown = Table("Speed and memory against the reference", tuple(columns), tuple(rows.values()))
    return Chart(key, f"Against {name(sweep.reference)}: {'; '.join(said)}.", drawn(traces, layout), shown)


def _largest(found: Sequence[Sweep], metric: str | None) -> Sweep | None:
    """Return the sweep with most cases, of those with a number of `metric`; the first of equals."""
    known = [s for s in found if metric is None or any(estimated(case, metric).is_number for case in s.cases)]
    return max(known, key=lambda sweep: len(sweep.cases), default=None)


def _places(known: dict[str, tuple[Case, Cell]], number: Callable[[Case], float] | None) -> list[Any]:
    return [label(text) for text in known] if number is None else [number(case) for case, _ in known.values()]


def _axis(axis: str, number: Callable[[Case], float] | None, known: dict[str, tuple[Case, Cell]]) -> dict[str, Any]:
    """Return an axis of names, or a logarithmic one of numbers with a tick at each."""
    if number is None:
        return {"title": {"text": axis}, "type": "category"}
    ticks = sorted({number(case) for case, _ in known.values()})
    return {"title": {"text": axis}, "type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
