"""What stands for torch.cuda while a GPU is simulated: the same names, answered by a simulated allocator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bench.schema.gpus import Sku
from bench.worker.fake.heap import Heap
from bench.worker.fake.streams import NoEvent, NoStream


class FakeCuda:
    """The part of torch.cuda that a run asks for. Nothing is queued here, so nothing is waited for."""

    def __init__(self, sku: Sku, memory: int, heap: Heap) -> None:
        self._heap = heap
        self.memory = History(heap)
        major, minor = sku.capability
        self._properties = SimpleNamespace(
            name=sku.name,
            total_memory=memory,
            major=major,
            minor=minor,
            multi_processor_count=sku.multiprocessors,
            warp_size=32,
        )

    def is_available(self) -> bool:
        """Say yes: to whom asks this object and not torch."""
        return True

    def init(self) -> None:
        """Create no context."""

    def synchronize(self, *_: Any) -> None:
        """Return at once."""

    def current_device(self) -> int:
        """Return the only device's number."""
        return 0

    def device_count(self) -> int:
        """Return the number of devices."""
        return 1

    def is_bf16_supported(self, *_: Any, **__: Any) -> bool:
        """Tell whether the device computes in bfloat16: from capability 8.0 on, and emulated below."""
        return True

    def get_device_properties(self, *_: Any) -> Any:
        """Describe the device."""
        return self._properties

    def get_device_capability(self, *_: Any) -> tuple[int, int]:
        """Return the compute capability."""
        return self._properties.major, self._properties.minor

    def is_current_stream_capturing(self) -> bool:
        """Say no: no graph is captured."""
        return False

    Stream, Event = NoStream, NoEvent

    def current_stream(self, *_: Any) -> NoStream:
        """Return the one stream, on which nothing is queued."""
        return NoStream()

    def stream(self, stream: NoStream) -> NoStream:
        """Return the context in which work goes to a stream."""
        return stream

    def is_initialized(self) -> bool:
        """Say that a device was chosen."""
        return True

    def empty_cache(self) -> None:
        """Give cached segments back."""
        self._heap.empty_cache()

    def memory_allocated(self, *_: Any) -> int:
        """Return the bytes tensors hold now, rounded as the allocator does."""
        self._heap.settle()
        return self._heap.allocator.allocated

    def memory_reserved(self, *_: Any) -> int:
        """Return the bytes the allocator holds now."""
        self._heap.settle()
        return self._heap.allocator.reserved

    def max_memory_reserved(self, *_: Any) -> int:
        """Return the most bytes the allocator has held since peaks began."""
        self._heap.settle()
        return self._heap.allocator.peak_reserved

    def reset_peak_memory_stats(self, *_: Any) -> None:
        """Let peaks begin again."""
        self._heap.reset_peaks()

    def mem_get_info(self, *_: Any) -> tuple[int, int]:
        """Return free and total bytes of the device."""
        total: int = self._properties.total_memory
        return max(0, total - self.memory_reserved()), total

    def memory_stats(self, *_: Any) -> dict[str, int]:
        """Return the statistics that runs read, by torch's names."""
        self._heap.settle()
        held = self._heap.allocator
        return {
            "allocated_bytes.all.peak": held.peak_allocated,
            "requested_bytes.all.peak": held.peak_requested,
            "reserved_bytes.all.peak": held.peak_reserved,
            "num_device_alloc": held.mallocs,
            "num_alloc_retries": held.retries,
        }


class History:
    """What stands for torch.cuda.memory: the history of a simulated allocator, in torch's own form."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap

    def _record_memory_history(self, enabled: str | None, **_: Any) -> None:
        """Start recording, or with None stop and forget."""
        self._heap.record_history(wanted=enabled is not None)

    def _snapshot(self) -> dict[str, Any]:
        """Return segments with their blocks, and the history of device 0."""
        history = self._heap.history()
        segments = [
            {
                "device": 0,
                "blocks": [
                    {
                        "address": block.address,
                        "requested_size": block.requested,
                        "state": "active_allocated" if block.in_use else "inactive",
                    }
                    for block in segment.blocks
                ],
            }
            for segment in self._heap.allocator.segments()
        ]
        return {"segments": segments, "device_traces": [history]}
