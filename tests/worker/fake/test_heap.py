"""The simulated device's memory: blocks taken over, releases that wait, what made the peak, and the history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schema import gpus
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.heap import Heap
from bench.worker.probes.recorder_cuda import CudaRecorder
from bench.worker.probes.trace import Block, Change, Mark

KIB = 1024


@pytest.fixture
def heap():
    return Heap(CachingAllocator())


def kinds(heap: Heap) -> list[str]:
    return [event.what for event in heap.events]


def test_a_block_released_next_becomes_the_new_one(heap):
    """A sum made in place takes no memory: the block keeps its address and gets another key."""
    old = heap.take(4 * KIB)
    place = heap.address(old)
    new = heap.take(4 * KIB, taken_over=[old])
    heap.release(old)

    assert heap.allocator.peak_allocated == 4 * KIB
    assert (heap.address(old), heap.address(new)) == (0, place)
    assert kinds(heap) == ["take", "rename"]

    heap.release(new)
    assert heap.allocator.allocated == 0


@pytest.mark.parametrize(
    "first",
    [
        lambda heap, _: heap.take(KIB),
        lambda heap, other: heap.release(other),
        lambda heap, _: heap.empty_cache(),
        lambda heap, _: heap.settle(),
    ],
    ids=["another is taken", "another is released", "the cache is emptied", "memory is read"],
)
def test_a_block_released_later_is_not_taken_over(heap, first):
    """If anything happens before it, somebody still held the old block, and a new one was needed."""
    other, old = heap.take(KIB), heap.take(4 * KIB)
    new = heap.take(4 * KIB, taken_over=[old])
    first(heap, other)
    heap.release(old)

    assert "rename" not in kinds(heap)
    assert heap.allocator.peak_allocated >= 8 * KIB
    assert heap.address(new) != 0


def test_of_two_only_the_first_released_is_taken_over(heap):
    """The new block lies in one of them; the other is given back."""
    one, two = heap.take(4 * KIB), heap.take(4 * KIB)
    heap.take(4 * KIB, taken_over=[one, two])
    heap.release(two)
    heap.release(one)

    assert kinds(heap) == ["take", "take", "rename", "release"]
    assert heap.allocator.allocated == 4 * KIB


class Interrupted(CachingAllocator):
    """Is interrupted by the garbage collector whenever it hands a block out or takes one back."""

    def __init__(self) -> None:
        super().__init__()
        self.collect = lambda: None

    def malloc(self, key: int, size: int) -> int:
        self.collect()
        address = super().malloc(key, size)
        self.collect()
        return address

    def free(self, key: int) -> None:
        self.collect()
        super().free(key)


@pytest.mark.parametrize("during", ["take", "release"])
def test_what_the_collector_releases_in_the_middle_of_a_call_waits_for_its_end(during):
    """The block is gone after the call, the call's own event comes first, and nothing is released twice."""
    allocator = Interrupted()
    heap = Heap(allocator)
    garbage = [heap.take(KIB), heap.take(KIB)]
    kept = heap.take(KIB)
    released: list[int] = []

    def collect() -> None:
        if garbage:
            released.append(garbage.pop())
            heap.release(released[-1])
            assert heap.address(released[-1]) != 0

    allocator.collect = collect
    if during == "take":
        heap.take(KIB)
    else:
        heap.release(kept)

    assert [(event.what, event.key) for event in heap.events[3:]] == [
        (during, 4 if during == "take" else kept),
        *(("release", key) for key in released),
    ]
    assert all(heap.address(key) == 0 for key in released)


def test_the_peak_is_the_operations_that_passed_it_last(heap):
    """An operation that takes more than was ever held is noted with its moment; one that does not is not."""
    for operation, moment, size in [("mm", "forward", KIB), ("mul", "backward", 4 * KIB), ("add", "optimizer", KIB)]:
        heap.operation, heap.moment = operation, moment
        key = heap.take(size)
        if operation != "mm":
            heap.release(key)

    assert (heap.peak_operation, heap.peak_moment) == ("mul", "backward")


def test_a_block_that_waited_is_its_own_operations(heap):
    """What could not be taken over is noted in the name of the operation that asked, not of the one that came next."""
    old = heap.take(KIB)
    heap.operation, heap.moment = "add", "backward"
    new = heap.take(4 * KIB, taken_over=[old])
    heap.operation, heap.moment = "mm", "optimizer"
    heap.settle()

    taken = heap.events[-1]
    assert (taken.key, taken.during, taken.moment) == (new, "add", "backward")
    assert (heap.peak_operation, heap.peak_moment) == ("add", "backward")
    assert (heap.operation, heap.moment) == ("mm", "optimizer")


def test_resetting_peaks_forgets_what_made_them(heap):
    """After it the peak is what is held, made by nothing yet."""
    heap.operation, heap.moment = "mm", "forward"
    heap.release(heap.take(4 * KIB))
    heap.moment = "train"
    heap.reset_peaks()

    assert (heap.allocator.peak_allocated, heap.peak_operation, heap.peak_moment) == (0, "", "train")


def test_scratch_is_held_all_at_once_and_given_back(heap):
    """A kernel's temporaries add up, and none is left."""
    heap.scratch([KIB, 2 * KIB, 4 * KIB])

    assert heap.allocator.peak_requested == 7 * KIB
    assert heap.allocator.requested == 0


def test_a_block_of_no_bytes_has_no_address_and_is_released_like_any(heap):
    """Empty tensors hold nothing, as in torch."""
    key = heap.take(0)
    assert heap.address(key) == 0

    heap.release(key)
    assert kinds(heap) == ["take", "release"]


def test_the_real_recorder_reads_the_history(heap):
    """CudaRecorder finds what was alive, every change in its order by address and bytes asked for, and the marks."""
    cuda = FakeCuda(gpus.by_slug("t4"), 16 * gpus.GIB, heap)
    before = heap.take(100)
    held = heap.address(before)

    with CudaRecorder(memory=cuda.memory, allocate=lambda size: heap.release(heap.take(size))) as recorder:
        made = heap.take(300)
        place = heap.address(made)
        recorder.mark("backward")
        heap.release(before)
        taken_over = heap.take(300, taken_over=[made])
        heap.release(made)
        heap.release(taken_over)

    assert recorder.trace is not None
    assert [change._replace(time_ns=0) for change in recorder.trace.changes] == [
        Change(0, place, 300),
        Change(0, held, -100),
        Change(0, place, -300),
    ]
    assert recorder.trace.marks == [Mark(1, "backward")]
    assert recorder.before([Block(held, 100, "activations")]) == [Block(held, 100, "activations")]
    assert recorder.before([]) == [Block(held, 100, "other")]
    assert heap.history() == []


steps = st.lists(st.tuples(st.sampled_from(["take", "over", "release", "scratch"]), st.integers(0, 9)), max_size=60)


@given(steps)
def test_no_byte_is_lost_whatever_happens(events):
    """However blocks are taken, taken over and released, what is held is what was taken and not released."""
    heap = Heap(CachingAllocator())
    held: dict[int, int] = {}
    for what, number in events:
        size = 100 * number
        if what == "take":
            held[heap.take(size)] = size
        elif what == "scratch":
            heap.scratch([size, size])
        elif held:
            key = list(held)[number % len(held)]
            if what == "over":
                held[heap.take(held[key], taken_over=[key])] = held[key]
            heap.release(key)
            del held[key]
    heap.settle()

    assert heap.allocator.requested == sum(held.values())
    assert all((heap.address(key) != 0) == (size > 0) for key, size in held.items())
