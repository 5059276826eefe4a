"""Sharing the work between devices: time, memory of each, and what they exchange, beside one device. Claim C22."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.analysis.cases import RAN, Case, newest
from bench.analysis.families import families
from bench.report.asked import METHOD, Told, table
from bench.report.beside import ratio_cell
from bench.report.chart import GIB, LOOKS, OTHER_LOOK, Chart, drawn, label
from bench.report.named_rows import row_layout, row_name
from bench.report.summary import method_label
from bench.report.tables import Cell, Column, Table, case_page, estimated
from bench.schema import Kind
from bench.schema.studies import SHARED, devices

STRATEGIES = {
    "one": "one device",
    "ddp": "DDP",
    "fsdp2": "FSDP2",
    "zero2": "ZeRO-2",
    "zero3": "ZeRO-3",
    "device_map": "layers in turn (device_map)",
}
APART = ("strategy", "world_size", "forward_prefetch", "quant_storage")
"""Settings in which cases on the same work differ."""
SPEED, TENSORS, RESIDENT = "train.tokens_per_second", "train.peak_allocated", "train.peak_resident"
FIGURES = {
    "train.step_seconds": "step",
    SPEED: "tokens/s",
    TENSORS: "peak tensors of a process",
    RESIDENT: "peak process",
    "distributed.bytes": "exchanged a step",
    "distributed.exposed_seconds": "waiting a step",
    "train.loss_first": "first loss",
    "train.loss_last": "last loss",
}
EXCHANGED = {
    "distributed.all_reduce_bytes": "all-reduce",
    "distributed.all_gather_bytes": "all-gather",
    "distributed.reduce_scatter_bytes": "reduce-scatter",
    "distributed.broadcast_bytes": "broadcast",
    "distributed.bytes": "together",
    "distributed.calls": "collectives",
    "distributed.quantizations": "quantised",
    "distributed.expansions": "expanded",
}
PREDICTED = {
    TENSORS: "peak tensors of a card",
    "train.peak_reserved": "reserved",
    "train.peak_device": "with what is outside torch",
    "spread.peak_reserved": "reserved while sharding",
}
DETAILS = ("train.loss_first", "train.loss_last", RESIDENT)
NOTE = (
    "Every row trains on the same sequences a step, so losses agree. Peaks are of the process that holds most. "
    "Efficiency: tokens/s against one device, by the number of devices; 1 is perfect."
)
CPU_NOTE = (
    "On a CPU the processes share its cores, so no speed-up is to be expected: what each holds and what is exchanged "
    "is as on so many devices, how fast they are is not."
)
EXCHANGED_NOTE = "Sizes are of a collective's larger side, as nccl-tests count them; what crosses wires differs."


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what every way of sharing gives and costs, and what it exchanges."""
    kept = _shared(cases)
    alone = _references(kept)
    notes = (NOTE, CPU_NOTE) if any(case.config.device == "cpu" for case in kept) else (NOTE,)
    several = [case for case in kept if devices(case.config.study_options) > 1]
    more: Told = {"efficiency": ("efficiency", lambda case: _efficiency(case, alone.get(id(case))))}
    return [
        table(
            "What sharing the work gives and costs", kept, HEADINGS, FIGURES, more=more, notes=notes, details=DETAILS
        ),
        table("What processes exchange in a step", several, HEADINGS, EXCHANGED, notes=(EXCHANGED_NOTE,)),
        table("What each card would hold", _of_study(cases, Kind.PREDICTED), HEADINGS, PREDICTED),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return the peak memory of a process, a bar a way of sharing, one below the other."""
    peaks = {case.name: (case, estimated(case, TENSORS)) for case in _shared(cases)}
    known = [(case, peak) for case, peak in peaks.values() if peak.is_number]
    if not any(devices(case.config.study_options) > 1 for case, _ in known):
        return []
    names = [_name(case) for case, _ in known]
    traces = [
        {
            "type": "bar", "orientation": "h", "name": label(method_label(method)),
            "y": [row_name(_name(case)) for case, _ in known if case.config.method == method],
            "x": [peak.number / GIB for case, peak in known if case.config.method == method],
            "marker": {"color": LOOKS.get(method, OTHER_LOOK)[0]},
            "hovertemplate": "%{y}: %{x:.3g} GiB<extra></extra>",
        }
        for method in dict.fromkeys(case.config.method for case, _ in known)
    ]  # fmt: skip
    layout = {**row_layout(names, "peak tensor memory of a process while training, GiB"), "showlegend": False}
    most = max(known, key=lambda pair: pair[1].number)
    least = min(known, key=lambda pair: pair[1].number)
    finding = (f"Peak tensor memory of a process: from {most[1].text} ({_name(most[0])}) down to {least[1].text} "
               f"({_name(least[0])}).")  # fmt: skip
    rows = tuple({"case": Cell(_name(case), link=case_page(case)), "peak": peak} for case, peak in known)
    shown = Table("Peak tensors of a process", (Column("case", "shared by"), Column("peak", "peak tensors")), rows)
    return [Chart("distributed-peak", finding, drawn(traces, layout), shown)]


def spread(case: Case) -> str:
    """Say how a case's work is shared."""
    options = case.config.study_options
    strategy = str(options.get("strategy", ""))
    early = ", prefetch" if options.get("forward_prefetch") else ""
    return f"{STRATEGIES.get(strategy, strategy)}{early}"


def _shared(cases: Sequence[Case]) -> list[Case]:
    return _of_study(cases, *RAN)


def _of_study(cases: Sequence[Case], *kinds: Kind) -> list[Case]:
    """Return the newest cases of the study of these kinds, by model, method, strategy and number of devices."""
    return sorted((case for case in newest(cases) if case.config.study == SHARED and case.kind in kinds), key=_order)


def _order(case: Case) -> tuple[str, int, int, int, bool]:
    options = case.config.study_options
    place = _place(list(LOOKS), case.config.method), _place(list(STRATEGIES), str(options.get("strategy")))
    return case.config.model, *place, devices(case.config.study_options), bool(options.get("forward_prefetch"))


def _place(known: Sequence[str], name: str) -> int:
    """Return where a name stands among known ones; others come last."""
    return known.index(name) if name in known else len(known)


def _references(cases: Sequence[Case]) -> dict[int, Case]:
    """Return for every case the one on the same work that one device does."""
    found: dict[int, Case] = {}
    for family in families(cases, APART):
        alone = next((case for case in family if devices(case.config.study_options) == 1), None)
        if alone is not None:
            found |= {id(case): alone for case in family if case is not alone}
    return found


def _efficiency(case: Case, alone: Case | None) -> Cell:
    """Return the speed against one device's, by the number of devices."""
    if alone is None:
        return Cell("")
    ratio, count = ratio_cell(case, alone, SPEED), devices(case.config.study_options)
    if not ratio.is_number:
        return ratio
    low, high = (None if side is None else side / count for side in (ratio.low, ratio.high))
    how = f"{ratio.how}, by {count} devices"
    return replace(ratio, value=ratio.number / count, low=low, high=high, how=how, metric="")  # no ratio of the metric


def _name(case: Case) -> str:
    count = f" on {devices(case.config.study_options)}" if devices(case.config.study_options) > 1 else ""
    return f"{method_label(case.config.method)}, {spread(case)}{count}"


def _link(said: Callable[[Case], str]) -> Callable[[Case], Cell]:
    return lambda case: Cell(said(case), link=case_page(case))


HEADINGS: Told = {
    **METHOD,
    "spread": ("shared by", _link(spread)),
    "devices": ("devices", lambda case: Cell(str(devices(case.config.study_options)))),
}
