"""What paging cost: steps that found their optimiser state away against steps that had it in place, in one run.

Timed steps come in blocks of four, cold, resident, resident, cold (`bench.analysis.blocks`): the state of a cold one
is moved away before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from bench.analysis.blocks import ORDER, Block, difference, estimate, in_blocks, is_first, side
from bench.analysis.stats import Estimate
from bench.schema.record import RunRecord

TURNS = "cold, resident, resident, cold"


def is_cold(number: int) -> bool:
    """Tell whether a timed step, counted from 0, is one whose state is moved away before it."""
    return is_first(number)


def stall(record: RunRecord) -> Estimate | None:
    """Median cold step minus median resident step of a run, in seconds; None where `why_not` says why.

    Percentile bootstrap over the run's blocks, 2000 draws, fixed seed.
    """
    found = _blocks(record)
    return None if isinstance(found, str) else estimate([found], difference, TURNS)


def pooled(records: Sequence[RunRecord]) -> Estimate | None:
    """Mean of the stalls of runs of one case, in seconds. Each draw takes runs, then blocks of each, anew."""
    runs = [found for found in map(_blocks, records) if not isinstance(found, str)]
    return estimate(runs, difference, TURNS) if runs else None


def why_not(record: RunRecord, name: str) -> str | None:
    """Say why a run has no value for one of `PAGING`; None if it has one, or `name` is none of them."""
    if name not in PAGING or PAGING[name](record) is not None:
        return None
    if name == "paging.paged_share":
        return "the run did not note its optimiser state, or has none."
    blocks = _blocks(record)
    if isinstance(blocks, str):
        return blocks
    if name == "paging.bandwidth":
        return _why_no_bandwidth(estimate([blocks], difference, TURNS))
    return f"no step has {SERIES[name]}."


def _why_no_bandwidth(found: Estimate) -> str:
    if found.low is None:
        return f"nothing shows that the stall is not 0: {found.how}."
    if found.low <= 0:
        return f"the stall's interval, {found.low:.4g} s to {found.high:.4g} s, does not lie above 0."
    return "nothing was moved out."


def _blocks(record: RunRecord) -> list[Block] | str:
    """Return the run's whole blocks of timed steps, or why it says nothing about a stall."""
    if "step.chilled_bytes" not in record.series:
        return "the run moved no optimiser state away; ask for it with paging=..."
    if record.config.uvm_counters:
        return "counters were attached, which slow paging down; take a run without them."
    if _paged_share(record) == 0:
        return (
            f"{record.config.optimizer} pages nothing here: none of its {record.metrics['paging.state_bytes']:,} bytes "
            "can be. It is a resident optimiser, or no trained tensor has 100,000 values."
        )
    if not _in_order(record):
        return f"the steps are not in the order {TURNS}."
    seconds = record.series.get("step.seconds", ())[record.config.untimed_steps :]
    return in_blocks(seconds) or f"needs {len(ORDER)} timed steps or more; the run has {len(seconds)}."


def _in_order(record: RunRecord) -> bool:
    """Tell whether nothing was away in a resident step, and something in each cold one if any was asked for."""
    away = record.series["step.chilled_bytes"][record.config.untimed_steps :]
    asked = record.config.paging_fraction > 0
    return all(bool(nbytes) == (asked and is_cold(number)) for number, nbytes in enumerate(away))


def _cold(name: str) -> Callable[[RunRecord], float | None]:
    def middle(record: RunRecord) -> float | None:
        timed = record.series.get(SERIES[name], ())[record.config.untimed_steps :]
        known = [value for number, value in enumerate(timed) if is_cold(number) and value is not None]
        return float(median(known)) if known else None

    return middle


def _paged_share(record: RunRecord) -> float | None:
    state, paged = record.metrics.get("paging.state_bytes"), record.metrics.get("paging.paged_bytes")
    return paged / state if state and paged is not None else None


def _stall(record: RunRecord) -> float | None:
    found = stall(record)
    return found.value if found else None


def _stall_share(record: RunRecord) -> float | None:
    blocks = _blocks(record)
    return None if isinstance(blocks, str) else difference(blocks) / median(side(blocks, first=False))


def _bandwidth(record: RunRecord) -> float | None:
    found, away = stall(record), _cold("paging.chilled_bytes")(record)
    return away / found.value if found and found.low is not None and found.low > 0 and away else None


SERIES: Mapping[str, str] = MappingProxyType({
    "paging.chilled_bytes": "step.chilled_bytes",
    "paging.cold_major_faults": "step.major_faults",
    "paging.cold_minor_faults": "step.minor_faults",
})  # fmt: skip

PAGING: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "paging.paged_share": _paged_share,
    "paging.stall": _stall,
    "paging.stall_share": _stall_share,
    "paging.bandwidth": _bandwidth,
    **{name: _cold(name) for name in SERIES},
})  # fmt: skip
