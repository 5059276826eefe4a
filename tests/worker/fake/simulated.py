"""A simulated GPU for tests of what runs on it: fake tensors, a heap that counts, and torch.cuda's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import torch
from bitsandbytes.functional import QuantState
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.schema import gpus
from bench.worker.fake import abi, quantized
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.heap import Heap
from bench.worker.fake.replace import replaced
from bench.worker.fake.tracker import Tracker

ASKED = ("synchronize", "current_device", "get_device_properties", "get_device_capability", "mem_get_info",
         "memory_allocated", "memory_reserved", "is_current_stream_capturing")  # fmt: skip


@contextmanager
def simulated(gpu: str = "h100-80gb") -> Iterator[Heap]:
    """Within the block cuda:0 is `gpu`; its heap holds what is on it."""
    abi.install()
    heap = Heap(CachingAllocator())
    sku = gpus.by_slug(gpu)
    assert sku.memory_bytes is not None
    cuda = FakeCuda(sku, sku.memory_bytes, heap)
    with ExitStack() as stack:
        for name in ASKED:
            stack.enter_context(replaced(torch.cuda, name, getattr(cuda, name)))
        stack.enter_context(replaced(torch.utils, "weakref", SimpleNamespace(getweakrefs=lambda _: [])))
        stack.enter_context(quantized.patches())
        stack.enter_context(FakeTensorMode())
        stack.enter_context(Tracker(heap))
        yield heap


def held(heap: Heap) -> int:
    """Bytes asked for and not given back."""
    heap.settle()
    return heap.allocator.requested


def more_at_peak(heap: Heap, before: int) -> int:
    """Bytes held at the peak beyond `before`."""
    heap.settle()
    return heap.allocator.peak_requested - before


def described(holder: object, name: str = "") -> dict[str, tuple[tuple[int, ...], torch.dtype, int]]:
    """Say shape, type and bytes of every tensor in a mapping, however deep, by its name."""
    if isinstance(holder, torch.Tensor):
        return {name: (tuple(holder.shape), holder.dtype, holder.nbytes)}
    if isinstance(holder, QuantState):
        holder = vars(holder)
    found = {}
    if isinstance(holder, Mapping):
        for key, value in holder.items():
            found |= described(value, f"{name}.{key}")
    return found
