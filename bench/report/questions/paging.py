"""What paged optimiser state costs: stalls, what moved, what counters saw. Claims C10 and C32."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import largest
from bench.report.chart import Chart, drawn, label
from bench.report.paging import pages, paging, stall_cell
from bench.report.summary import optimizer_label
from bench.report.tables import Cell, Column, Table

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what paging cost, what moved, and what the GPU's counters saw."""
    return paging(cases)


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return the stall by how and how much of the state was away, of the device with most of it."""
    timed = [case for case in newest(ran(cases)) if pages(case) and not case.config.uvm_counters]
    chosen = largest(timed, lambda case: (case.device, case.config.model, case.stack))
    cells = {case.name: stall_cell(case) for case in chosen}
    known = [case for case in chosen if cells[case.name].is_number]
    if not known:
        return []
    optimizers = list(dict.fromkeys(case.config.optimizer for case in known))
    traces = []
    for place, optimizer in enumerate(optimizers):
        own = [case for case in known if case.config.optimizer == optimizer]
        found = [cells[case.name] for case in own]
        traces.append({
            "type": "bar", "name": label(optimizer_label(optimizer)), "x": [label(_way(case)) for case in own],
            "y": [cell.number for cell in found], "marker": {"color": COLOURS[place % len(COLOURS)]},
            "error_y": {"type": "data", "symmetric": False,
                        "array": [(cell.high or cell.number) - cell.number for cell in found],
                        "arrayminus": [cell.number - _low(cell) for cell in found]},
        })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "how state comes back, and how much of it was away"}, "type": "category"},
        "yaxis": {"title": {"text": "stall of a step, s"}}, "barmode": "group", "showlegend": len(optimizers) > 1,
    }  # fmt: skip
    worst = max(known, key=lambda case: cells[case.name].number)
    finding = (
        f"The longest stall is {cells[worst.name].text}: {optimizer_label(worst.config.optimizer)}, {_way(worst)}. "
        "With nothing away a stall is what the turns cannot tell from none."
    )
    columns = Column("optimizer", "optimiser"), Column("way", "path, away"), Column("stall", "stall")
    rows = tuple(
        {"optimizer": Cell(optimizer_label(case.config.optimizer)), "way": Cell(_way(case)), "stall": cells[case.name]}
        for case in chosen
    )
    return [Chart("paging-stall", finding, drawn(traces, layout), Table("Stalls", columns, rows))]


def _low(cell: Cell) -> float:
    return cell.number if cell.low is None else cell.low


def _way(case: Case) -> str:
    return f"{case.config.paging}, {case.config.paging_fraction:.0%}"
