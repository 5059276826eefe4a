"""The simulated torch.cuda answers with the allocator's own numbers, in torch's own words."""

from __future__ import annotations

import pytest
import torch

from bench.schema import gpus
from bench.worker.devices.cuda import Cuda
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.heap import Heap
from bench.worker.fake.seams import ANSWERED
from bench.worker.probes.allocator import COUNTS, PEAKS
from bench.worker.probes.recorder_cuda import blocks_of

MIB = 2**20


@pytest.fixture
def heap():
    return Heap(CachingAllocator())


@pytest.fixture
def cuda(heap):
    return FakeCuda(gpus.by_slug("l40s"), 44 * gpus.GIB, heap)


@pytest.mark.parametrize("name", ANSWERED)
def test_only_what_torch_has_is_answered(cuda, name):
    """Every name stands for a function of torch.cuda."""
    assert callable(getattr(torch.cuda, name))
    assert callable(getattr(cuda, name))


def test_the_device_is_the_catalogues(cuda):
    """Name, capability and multiprocessors are the product's, the memory what was given."""
    properties = cuda.get_device_properties(0)

    assert (properties.name, properties.major, properties.minor) == ("L40S", 8, 9)
    assert (properties.multi_processor_count, properties.total_memory) == (142, 44 * gpus.GIB)
    assert cuda.get_device_capability() == (8, 9)
    assert (cuda.device_count(), cuda.current_device()) == (1, 0)


def test_memory_is_counted_as_torch_counts_it(cuda, heap):
    """Allocated is rounded to 512 bytes, reserved is whole segments, free is what no segment has."""
    heap.take(1000)

    assert (cuda.memory_allocated(), cuda.memory_reserved()) == (1024, 2 * MIB)
    assert cuda.mem_get_info() == (44 * gpus.GIB - 2 * MIB, 44 * gpus.GIB)


def test_the_statistics_have_every_name_that_meters_read(cuda, heap):
    """Peaks of what was allocated, asked for and reserved, calls of cudaMalloc, and retries."""
    heap.release(heap.take(1000))
    heap.take(100)

    stats = cuda.memory_stats()

    assert stats == {PEAKS["peak_allocated"]: 1024, PEAKS["peak_requested"]: 1000, PEAKS["peak_reserved"]: 2 * MIB,
                     COUNTS["allocator_growth"]: 1, COUNTS["allocator_retries"]: 0}  # fmt: skip


def test_peaks_begin_again_from_what_is_held(cuda, heap):
    """A reset forgets what was released, and emptying the cache gives segments back."""
    heap.release(heap.take(20 * MIB))
    cuda.empty_cache()
    cuda.reset_peak_memory_stats()

    assert cuda.max_memory_reserved() == 0


def test_a_block_that_waits_is_counted(cuda, heap):
    """Whoever reads memory sees what an operation has asked for, even if it could still have been taken over."""
    old = heap.take(1000)
    heap.take(1000, taken_over=[old])

    assert cuda.memory_allocated() == 2048


def test_the_snapshot_lists_blocks_in_use_by_what_was_asked_for(cuda, heap):
    """Their addresses are the tensors', and free blocks are not among them."""
    kept, gone = heap.take(1000), heap.take(700)
    heap.release(gone)

    assert blocks_of(cuda.memory._snapshot()) == {heap.address(kept): 1000}


def test_a_history_is_forgotten_when_recording_ends(cuda, heap):
    """And nothing is noted before it begins."""
    heap.take(1000)
    cuda.memory._record_memory_history("all", max_entries=10)
    heap.take(1000)
    assert [entry["action"] for entry in cuda.memory._snapshot()["device_traces"][0]] == ["alloc"]

    cuda.memory._record_memory_history(None)
    assert cuda.memory._snapshot()["device_traces"] == [[]]


def test_the_real_device_can_run_on_it(cuda, heap):
    """What asks torch.cuda asks this: the CUDA device takes it for its own, and its meters read its peaks."""
    device = Cuda(cuda)
    peaks = device.meters().phase[0]
    peaks.start()
    heap.take(1000)
    device.synchronize()

    assert peaks.stop().values == {"peak_allocated": 1024, "peak_requested": 1000, "peak_reserved": 2 * MIB}
    assert device.facts()["torch.device"] == "L40S"
