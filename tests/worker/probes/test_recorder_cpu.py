"""What the CPU recorder tells is what torch allocated, in its order, with marks where they were made."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench.worker.probes.marks import NUMBERED, OPENING
from bench.worker.probes.recorder_cpu import CpuRecorder, changes_of
from bench.worker.probes.trace import Block, Change

MIB = 1024**2


def tensor(size):
    """Allocate bytes."""
    return torch.empty(size, dtype=torch.uint8)


def test_allocations_and_releases_are_exact_and_in_order():
    """Sizes to the byte, a release at the address of its allocation, marks between, nothing of the marks left."""
    with CpuRecorder() as recorder:
        first = tensor(3 * MIB)
        recorder.mark("forward")
        second = tensor(2 * MIB + 1)
        addresses = [first.data_ptr(), second.data_ptr()]
        del first
        recorder.mark("backward")
        del second

    assert recorder.trace is not None
    assert [change.size for change in recorder.trace.changes] == [3 * MIB, 2 * MIB + 1, -3 * MIB, -2 * MIB - 1]
    assert [change.address for change in recorder.trace.changes] == addresses * 2
    assert [tuple(mark) for mark in recorder.trace.marks] == [(1, "forward"), (3, "backward")]
    assert recorder.absent == ""


def test_a_mark_made_in_a_backward_hook_lands_between_its_neighbours():
    """The gradient of the later operation is allocated before the mark, that of the earlier one after it."""
    weight = torch.ones(1000, requires_grad=True)
    with CpuRecorder() as recorder:
        middle = weight * 2
        middle.register_hook(lambda _: recorder.mark("hook"))
        loss = (middle * 3).sum()
        recorder.mark("backward")
        loss.backward()

    assert recorder.trace is not None
    (backward, hook) = recorder.trace.marks
    assert (backward.name, hook.name) == ("backward", "hook")
    assert 4000 in [c.size for c in recorder.trace.changes[backward.position : hook.position]]
    assert 4000 in [c.size for c in recorder.trace.changes[hook.position :]]


def test_thousands_of_small_blocks_keep_their_order():
    """Where clock ticks coincide, an allocation still comes before its release, and no mark is lost."""
    with CpuRecorder() as recorder:
        for number in range(3000):
            if number % 100 == 0:
                recorder.mark(str(number))
            tensor(16)

    assert recorder.trace is not None
    assert [change.size for change in recorder.trace.changes] == [16, -16] * 3000
    assert [mark.position for mark in recorder.trace.marks] == [2 * n for n in range(0, 3000, 100)]


def event(time, *children, size=None):
    """One node of the profiler's tree: an operation, or an allocation of `size` at address 1."""
    kind = SimpleNamespace(name="TorchOp" if size is None else "Allocation")
    return SimpleNamespace(start_time_ns=time, children=children, typed=(kind, SimpleNamespace(ptr=1, alloc_size=size)))


def test_threads_are_merged_by_time_and_equal_times_stay_in_order():
    """Another thread's branch stands after the first one's in the tree; ties within a branch are as they happened."""
    one = event(0, event(5, size=10), event(5, size=-10), event(9, event(9, size=30)))
    other = event(1, event(7, size=20))

    assert changes_of([event(4, size=2), event(4, size=-2), one, other]) == [
        Change(4, 1, 2), Change(4, 1, -2), Change(5, 1, 10), Change(5, 1, -10), Change(7, 1, 20), Change(9, 1, 30),
    ]  # fmt: skip


def test_tensors_of_the_marks_own_sizes_are_kept():
    """A program may use tensors as long as a mark's; only the pair released at once is a mark."""
    with CpuRecorder() as recorder:
        held = [tensor(OPENING), tensor(NUMBERED)]
        recorder.mark("forward")
        del held

    assert recorder.trace is not None
    assert sorted(change.size for change in recorder.trace.changes) == [-NUMBERED, -OPENING, OPENING, NUMBERED]


def test_a_step_that_fails_is_recorded_up_to_there():
    """The error passes through; what was allocated before it is known."""
    recorder = CpuRecorder()

    def failing_step():
        with recorder:
            recorder.mark("forward")
            tensor(100)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        failing_step()

    assert recorder.trace is not None
    assert [change.size for change in recorder.trace.changes] == [100, -100]


def test_while_recording_there_is_no_trace_but_a_reason():
    """None is not an empty step."""
    recorder = CpuRecorder()

    assert recorder.trace is None
    assert recorder.absent


def test_what_was_there_before_is_what_somebody_owns():
    """The CPU allocator has no list of its blocks."""
    owned = [Block(1, 2, "buffers")]

    assert CpuRecorder().before(owned) == owned
