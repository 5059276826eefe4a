"""The CUDA allocator's history, made up as torch writes it, gives exact changes or none."""

from __future__ import annotations

import pytest

from bench.worker.probes.attribution import replay
from bench.worker.probes.recorder_cuda import CudaRecorder, blocks_of, changes_of
from bench.worker.probes.trace import Block, Change


def entry(action, address=0, size=0, time=0):
    """One entry of a history, as torch/csrc/cuda/memory_snapshot.cpp writes it."""
    place = "device_free" if action == "oom" else "addr"
    return {"action": action, place: address, "size": size, "stream": 0, "time_us": time, "pool_id": (0, 0)}


def segment(*blocks, device=0):
    """One segment of `(address, size, requested, state)`."""
    return {
        "device": device, "address": blocks[0][0], "total_size": 2**21, "stream": 0, "segment_type": "small",
        "blocks": [
            {"address": address, "size": size, "requested_size": requested, "state": state, "frames": []}
            for address, size, requested, state in blocks
        ],
    }  # fmt: skip


class Allocator:
    """Stands for torch.cuda.memory: a history of `most` entries, emptied when recording stops; 512 B a block."""

    def __init__(self, segments=()):
        self.segments = list(segments)
        self.history = []
        self.most = 0
        self.recording = False
        self.address = 10_000

    def _record_memory_history(self, enabled="all", context="all", stacks="all", max_entries=2**63):
        self.recording = enabled is not None
        self.most = max_entries
        if not self.recording:
            self.history = []
        else:
            assert (enabled, context, stacks) == ("all", None, "python")

    def _snapshot(self):
        self.note("snapshot")
        return {"segments": self.segments, "device_traces": [list(self.history)]}

    def note(self, action, address=0, size=0):
        if self.recording:
            self.history = [*self.history, entry(action, address, size, time=len(self.history))][-self.most :]

    def allocate(self, size):
        """Give `size` bytes out and take them back."""
        self.address += 512
        self.note("alloc", self.address, size)
        self.note("free_requested", self.address, size)
        self.note("free_completed", self.address, size)


def test_changes_are_requested_bytes_until_the_release_is_requested():
    """Segments, completed releases, snapshots and refusals change nothing; times are nanoseconds."""
    history = [
        entry("segment_alloc", 1, 2**21, 1), entry("alloc", 1, 100, 2), entry("snapshot", 0, 100, 3),
        entry("free_requested", 1, 100, 4), entry("alloc", 2, 7, 5), entry("free_completed", 1, 100, 6),
        entry("segment_map", 5, 9, 7), entry("oom", 12345, 2**40, 8), entry("user_defined", 0, 0, 9),
        entry("segment_free", 1, 2**21, 10),
    ]  # fmt: skip

    assert changes_of({"segments": [], "device_traces": [history]}) == [
        Change(2000, 1, 100), Change(4000, 1, -100), Change(5000, 2, 7),
    ]  # fmt: skip


def test_a_release_completed_without_being_requested_changes_nothing():
    """It was requested before the history began, and counted as released then."""
    assert changes_of({"device_traces": [[entry("free_completed", 1, 100)]]}) == []


def test_each_device_has_its_own_history_and_blocks():
    """Another device's allocations at the same addresses are not taken for this one's."""
    snapshot = {
        "segments": [
            segment((1, 512, 10, "active_allocated")),
            segment((1, 1024, 600, "active_allocated"), device=1),
        ],
        "device_traces": [[entry("alloc", 2, 20)], [entry("alloc", 2, 30), entry("free_requested", 1, 600)]],
    }

    assert blocks_of(snapshot, 0) == {1: 10}
    assert blocks_of(snapshot, 1) == {1: 600}
    assert [change.size for change in changes_of(snapshot, 0)] == [20]
    assert [change.size for change in changes_of(snapshot, 1)] == [30, -600]
    assert changes_of(snapshot, 2) == []


def test_only_blocks_in_use_were_there_before():
    """Free blocks and blocks that only wait for another stream hold nothing; sizes are as requested."""
    there = segment(
        (0, 512, 500, "active_allocated"), (512, 512, 7, "inactive"), (1024, 512, 9, "active_awaiting_free"),
        (1536, 1024, 513, "active_allocated"),
    )  # fmt: skip

    assert blocks_of({"segments": [there]}) == {0: 500, 1536: 513}


def test_a_step_recorded_from_start_to_end():
    """Blocks from before keep their owners, one of them leaves, marks are found and removed, the peak is exact."""
    memory = Allocator([segment((0, 512, 300, "active_allocated"), (512, 512, 40, "active_allocated"))])
    with CudaRecorder(memory=memory, allocate=memory.allocate) as recorder:
        recorder.mark("forward")
        memory.note("alloc", 5000, 1000)
        recorder.mark("backward")
        memory.note("free_requested", 512, 40)
        memory.note("alloc", 512, 60)
        recorder.mark("optimizer")
        recorder.mark("end")
    assert recorder.trace is not None
    owned = [Block(0, 300, "base_float32"), Block(999, 10**6, "optimizer_state")]  # the latter in managed memory

    result = replay(recorder.before(owned), recorder.trace, {"optimizer": {512: "gradients"}})

    assert result.total == 300 + 1000 + 60
    assert {c: size for c, size in result.peak.items() if size} == {
        "base_float32": 300, "activations": 1000, "gradients": 60,
    }  # fmt: skip
    assert result.start["other"] == 40
    assert result.strays == 0
    assert not memory.recording


def test_a_history_that_is_full_gives_no_numbers():
    """A ring buffer that may have dropped its oldest entries says so instead of being read."""
    memory = Allocator()
    with CudaRecorder(memory=memory, allocate=memory.allocate, most=20) as recorder:
        recorder.mark("forward")
        for _ in range(10):
            memory.allocate(100)

    assert recorder.trace is None
    assert "more than the 20 changes" in recorder.absent
    assert not memory.recording


def test_a_history_without_the_marks_gives_no_numbers():
    """If the marks' tensors went elsewhere, stages would be made up."""
    memory = Allocator()
    with CudaRecorder(memory=memory, allocate=lambda _: None) as recorder:
        recorder.mark("forward")
        memory.allocate(100)

    assert recorder.trace is None
    assert "lacks marks" in recorder.absent


def test_an_earlier_recording_is_forgotten():
    """What somebody else recorded before does not become a part of the step."""
    memory = Allocator()
    memory._record_memory_history("all", context=None, stacks="python")
    memory.allocate(77)
    with CudaRecorder(memory=memory, allocate=memory.allocate) as recorder:
        memory.allocate(5)

    assert recorder.trace is not None
    assert [change.size for change in recorder.trace.changes] == [5, -5]


def test_running_out_of_memory_ends_the_recording():
    """The refusal passes on, recording stops, and what led to it is known."""
    memory = Allocator()
    recorder = CudaRecorder(memory=memory, allocate=memory.allocate)

    def starving_step():
        with recorder:
            recorder.mark("forward")
            memory.note("alloc", 1, 100)
            memory.note("oom", 3, 2**40)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        starving_step()

    assert recorder.trace is not None
    assert replay([], recorder.trace, {}).total == 100
    assert not memory.recording
