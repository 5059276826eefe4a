"""How long a GPU exchanges and computes nothing meanwhile, from a profile of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._C._autograd import DeviceType

from bench.worker.paging.intervals import Interval, length, subtract, union

PREFIX = "nccl"
"""How NCCL's kernels are called: ncclDevKernel_AllReduce_Sum_bf16_RING_LL(...), ncclKernel_... before NCCL 2.20."""


def exposed_seconds(step: Callable[[], object]) -> float:
    """Make a step under torch's profiler; return the seconds in which NCCL's kernels were alone on this GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        step()
        torch.cuda.synchronize()
    return exposed(kernels(profiled.events() or ())) / 1e9


def kernels(events: Iterable[Any]) -> list[tuple[str, Interval]]:
    """Return name and time, in nanoseconds, of what ran on the GPU; the profiler says microseconds."""
    return [
        (event.name, (round(event.time_range.start * 1000), round(event.time_range.end * 1000)))
        for event in events
        if event.device_type == DeviceType.CUDA
    ]


def exposed(ran: Iterable[tuple[str, Interval]]) -> int:
    """Return the nanoseconds in which kernels of NCCL ran and no other."""
    exchanging: list[Interval] = []
    computing: list[Interval] = []
    for name, when in ran:
        (exchanging if name.startswith(PREFIX) else computing).append(when)
    return length(subtract(union(exchanging), union(computing)))
