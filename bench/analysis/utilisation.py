"""What part of a device's ability a run used: its model's FLOP/s against three ceilings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench.analysis.series import a_second_of_training
from bench.schema.record import RunRecord

FLOPS = "train.flops_per_second"


def flops_per_second(record: RunRecord) -> float | None:
    """Return the operations of the timed steps' matrix products a second of their wall time."""
    return a_second_of_training(record, "step.flops")


def why_no_share(record: RunRecord, name: str) -> str | None:
    """Say why a run lacks a share of `UTILISATION`, or FLOP/s at all; None where it was not asked to count them."""
    if FLOPS in record.absent or name == FLOPS or flops_per_second(record) is None:
        return record.absent.get(FLOPS)
    if name == "train.mfu_against_gemm":
        return record.absent.get("canary.gemm_before", "no canary GEMM ran beside this run")
    if _peak(record) is None:
        return record.absent.get("train.mfu", "no datasheet peak is known for this device in this dtype")
    if not record.metrics.get("train.sm_clock"):
        return record.absent.get("train.sm_clock", "the clock was not read while training")
    return "the clock that the datasheet's peak stands for is not known for this device"


def _against(ceiling: Callable[[RunRecord], float | None]) -> Callable[[RunRecord], float | None]:
    def share(record: RunRecord) -> float | None:
        speed, most = flops_per_second(record), ceiling(record)
        return speed / most if speed is not None and most else None

    return share


def _peak(record: RunRecord) -> float | None:
    return _setting(record, "device.peak_flops")


def _peak_at_clock(record: RunRecord) -> float | None:
    peak, boost = _peak(record), _setting(record, "device.boost_clock")
    clock = record.metrics.get("train.sm_clock")
    return peak * clock / boost if peak and boost and clock else None


def _fastest_gemm(record: RunRecord) -> float | None:
    found = [record.metrics.get(f"canary.gemm_{when}") for when in ("before", "after")]
    return max((speed for speed in found if speed is not None), default=None)


def _setting(record: RunRecord, name: str) -> float | None:
    """Return a number of `resolved`; None where it is missing, no number or not above 0."""
    found = record.resolved.get(name)
    return float(found) if isinstance(found, int | float) and found > 0 else None


UTILISATION: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "train.mfu": _against(_peak),
    "train.mfu_at_clock": _against(_peak_at_clock),
    "train.mfu_against_gemm": _against(_fastest_gemm),
})  # fmt: skip
