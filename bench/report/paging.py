"""What paging costs: steps whose optimiser state is away against steps that have it; and what counters saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bench.analysis import stats
from bench.analysis.cases import Case, newest, ran
from bench.analysis.peaks import agreement
from bench.analysis.stall import pooled
from bench.analysis.stats import Estimate
from bench.analysis.turns import TURNS
from bench.report.headings import heading, headings
from bench.report.summary import optimizer_label
from bench.report.tables import Cell, Column, Table, case_page, ending, estimated, from_estimate
from bench.report.tidy import Row, possible, tidy
from bench.schema.metrics import METRICS

TURN_LABELS = {"paging.cold_step": "cold step", "paging.resident_step": "resident step"}
COSTS = {
    **TURN_LABELS,
    "paging.stall": "stall",
    "paging.stall_share": "against a step",
    "paging.predicted_stall": "predicted stall",
}
MOVED = {
    "paging.state_bytes": "state",
    "paging.paged_bytes": "can be paged",
    "paging.chilled_bytes": "sent away",
    "paging.bandwidth": "bandwidth",
    "paging.cold_major_faults": "major faults",
    "paging.cold_minor_faults": "minor faults",
}
COUNTED = {
    "paging.fault_groups": "fault groups",
    "paging.fault_batches": "batches",
    "paging.bytes_in": "moved in",
    "paging.bytes_out": "moved out",
    "paging.active_seconds": "paging active",
    "paging.fault_service_seconds": "fault service",
}
STALL, SHARE = "paging.stall", "paging.paged_share"
RESIDENT = {"paging": "none", "paging_fraction": 0.0, "uvm_counters": False, "optimizer": "adamw"}
"""Settings that tell a paging experiment from its twin without paging; the optimiser is named to be left out."""
COST_NOTE = (
    "Stall: median cold step, its state moved out just before it, minus median resident step; cold and resident steps "
    "take turns in one run, with no counter attached. Predicted: bytes over half the bandwidth of the bus; a rule of "
    "thumb, no measurement."
)
MOVED_NOTE = "Sent away and faults: of a cold step, the median. Bandwidth: bytes sent away over the stall."
COUNTED_NOTE = (
    "Counters slow what they count, so these runs give no stall. Not believed: the canary failed or records were "
    "lost; what is counted then is a lower bound. Paging active: an upper bound of what paging cost; fault service: a "
    "lower one."
)


def paging(cases: Sequence[Case]) -> list[Table]:
    """Three tables, one row a case each: what paging cost; what moved; what the GPU's counters saw."""
    kept = sorted((case for case in newest(ran(cases)) if pages(case)), key=_order)
    timed = sorted((*(case for case in kept if not case.config.uvm_counters), *_twins(kept, cases)), key=_order)
    counted = [case for case in kept if case.config.uvm_counters]
    ended = tuple(note for case in timed for note in _endings(case))
    return [
        _table("What paging costs", timed, COSTS, (COST_NOTE, *ended)),
        _table("What paging moves", timed, MOVED, (MOVED_NOTE,)),
        _table("Page faults as the GPU counts them, a cold step", counted, COUNTED, (COUNTED_NOTE,)),
    ]


def pages(case: Case) -> bool:
    """Tell whether a case is an experiment with paged state."""
    return case.config.paging != "none" or case.config.uvm_counters


def _twins(paged: Sequence[Case], cases: Sequence[Case]) -> list[Case]:
    """Return the cases that do the same work as a paged one with another optimiser, all of whose state stays put."""
    asked = {(case.device, case.kind, _resident(case)) for case in paged}
    kept = newest(ran(cases))
    return [case for case in kept if not pages(case) and (case.device, case.kind, _resident(case)) in asked]


def _resident(case: Case) -> bytes:
    return msgspec.structs.replace(case.config, **RESIDENT).identity  # unlike `but`, it takes methods we do not know


def _order(case: Case) -> tuple[object, ...]:
    config = case.config
    work = (case.device, case.kind, config.model, config.method, config.batch_size, config.sequence_length)
    return *work, config.optimizer, config.paging, config.paging_fraction, case.name


def _table(title: str, cases: Sequence[Case], shown: dict[str, str], notes: tuple[str, ...]) -> Table:
    believed = [Column("believed", "counters believed", METRICS["paging.counters_valid"].about)]
    columns = (
        *(column for column in headings(cases) if column.key not in ("optimizer", "paging")),
        Column("optimizer", "optimizer"), Column("path", "path"), Column("fraction", "away"),
        Column(SHARE, "paged share", METRICS[SHARE].about), *(believed if shown is COUNTED else ()),
        *(Column(name, label, METRICS[name].about if name in METRICS else "") for name, label in shown.items()),
    )  # fmt: skip
    return tidy(Table(title, columns, tuple(_row(case, shown) for case in cases), notes), list(shown))


def _row(case: Case, shown: dict[str, str]) -> Row:
    config = case.config
    believed = ["yes" if valid else "no" for valid in case.values("paging.counters_valid")]
    return {
        **heading(case),
        "optimizer": Cell(optimizer_label(config.optimizer)),
        "path": Cell(config.paging),
        "fraction": Cell(config.paging_fraction, "%"),
        SHARE: _share(case),
        "believed": Cell(agreement(believed) or "not known"),
        **{name: _cell(case, name) for name in shown},
    }


def _cell(case: Case, metric: str) -> Cell:
    """Return a metric's cell; the stall's interval is its own bootstrap, and steps have their range over runs."""
    if not pages(case):
        resident = {"paging.resident_step": "train.step_seconds", "paging.state_bytes": "paging.state_bytes"}
        return possible(case, resident[metric]) if metric in resident else Cell("")
    if metric == STALL:
        return stall_cell(case)
    if metric not in TURNS:
        return possible(case, metric)
    read = (TURNS[metric](run.record) for run in case.ok)
    return _seconds(stats.median([seconds for seconds in read if seconds is not None]), case, metric)


def stall_cell(case: Case) -> Cell:
    """Return a case's stall in seconds, with the interval of a bootstrap over blocks of cold and resident steps."""
    return _seconds(pooled([run.record for run in case.ok]), case, STALL)


def _seconds(found: Estimate | None, case: Case, metric: str) -> Cell:
    if found is None:
        return Cell(None, "s", link=case_page(case), reason=case.reason(STALL), brief=ending(case))
    return from_estimate(found, "s", case, metric)


def _share(case: Case) -> Cell:
    """Return the paged share, which is always shown: what pages nothing is called by its name."""
    if not pages(case):
        return Cell("none")
    cell = estimated(case, SHARE)
    return Cell("0: pages nothing", link=cell.link) if cell.value == 0 else cell


def _endings(case: Case) -> Iterator[str]:
    """Say why no run of a case went well, in the last one's words."""
    failure = None if case.ok else case.failed[-1].record.failure
    if failure is not None:
        yield f"{case.config.optimizer}, {case.config.paging}: {ending(case)}: {failure.message}"
