"""Records the host's allocations by torch's profiler.

The profiler reports what torch's CPU allocator gives out and takes back in threads it
watches: the one that started it, and autograd's. It does not report the release of a block
allocated before it started (c10/core/CPUAllocator.cpp, ProfiledCPUMemoryReporter::Delete),
nor anything a library allocates by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import torch

from bench.worker.probes.marks import Marker, allocate_on, marked
from bench.worker.probes.trace import Block, Change, Trace


class CpuRecorder:
    """A `Recorder` of torch's CPU allocator."""

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self.absent = "the recorded step has not ended."
        self._marker = Marker(allocate_on("cpu"))
        self._profile: Any = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        )

    def __enter__(self) -> CpuRecorder:
        self._profile.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._profile.__exit__(kind, error, traceback)
        events = self._profile.profiler.kineto_results.experimental_event_tree()
        self.trace = marked(changes_of(events), self._marker.names)
        self.absent = "" if self.trace else "torch's profiler lost allocations of the recorded step; run it again."

    def mark(self, name: str) -> None:
        """Note that something begins now."""
        self._marker.mark(name)

    def before(self, owned: Sequence[Block]) -> list[Block]:
        """Return `owned`: the CPU allocator keeps no list of what is alive."""
        return list(owned)


def changes_of(events: Sequence[Any]) -> list[Change]:
    """Read the allocations and releases off the profiler's event tree, in order of time; equal times stay in order."""
    return sorted(_allocations(events), key=lambda change: change.time_ns)


def _allocations(events: Sequence[Any]) -> Iterator[Change]:
    waiting = list(reversed(events))
    while waiting:
        event = waiting.pop()
        if event.typed[0].name == "Allocation":
            yield Change(event.start_time_ns, event.typed[1].ptr, event.typed[1].alloc_size)
        waiting.extend(reversed(event.children))
