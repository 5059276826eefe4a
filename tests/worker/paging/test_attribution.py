"""Records in windows: nothing lost, nothing twice, and time as a set."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.paging.attribution import OTHER, Range, attribute, by_owner, whole_steps
from bench.worker.paging.intervals import union
from bench.worker.paging.uvm import DIRECTION, TIMED, Cause, Kind, UvmRecord, Window
from tests.worker.paging.made import MIB, fault, moved


def test_a_hand_worked_pass():
    """Two steps side by side with faults, migrations, throttling and kernels: every number by hand."""
    records = [
        fault(2, 10, 30), fault(1, 20, 40), moved(Kind.HTOD, 8, 25, 60, cause=Cause.COHERENCE),
        moved(Kind.DTOH, 4, 90, 130, cause=Cause.EVICTION), UvmRecord(Kind.THROTTLING, 0, 150, 160, 0),
        UvmRecord(Kind.CPU_FAULT, 99, 170, 0, 0), UvmRecord(Kind.THRASHING, 4096, 171, 0, 0),
        moved(Kind.HTOD, 5, 500, 510),
    ]  # fmt: skip
    (first, second), outside = attribute(records, [Window(0, 0, 100), Window(1, 100, 200)], [(0, 45), (100, 110)])

    assert first.counts.records == {Kind.GPU_FAULT: 2, Kind.HTOD: 1, Kind.DTOH: 1}
    assert (first.counts.fault_groups, first.fault_ns) == (3, 30)
    assert (first.htod_ns, first.dtoh_ns, first.migration_ns, first.active_ns) == (35, 10, 45, 60)
    assert first.exposed_ns == 30 + 15 + 10  # faults within the kernel; HtoD and DtoH while it did not run
    assert first.counts.bytes == {("htod", Cause.COHERENCE): 8, ("dtoh", Cause.EVICTION): 4}
    assert (second.dtoh_ns, second.throttle_ns, second.active_ns, second.exposed_ns) == (30, 10, 40, 30)
    assert second.counts.moved("dtoh") == 0
    assert second.counts.records == {Kind.THROTTLING: 1, Kind.CPU_FAULT: 1, Kind.THRASHING: 1}
    assert outside.records == {Kind.HTOD: 1}
    assert outside.moved("htod") == 5


def test_throttling_within_a_kernel_is_exposed():
    """A fault that the driver puts off blocks its warps although a kernel runs."""
    (step,), _ = attribute([UvmRecord(Kind.THROTTLING, 0, 10, 20, 0)], [Window(0, 0, 100)], [(0, 100)])

    assert (step.exposed_ns, step.fault_ns, step.migration_ns) == (10, 0, 0)


def test_without_kernels_nothing_is_said_to_be_exposed():
    """No trace of kernels is not a trace without kernels."""
    ((step,), _), ((idle,), _) = (attribute([fault(1, 5, 9)], [Window(0, 0, 10)], kernels) for kernels in (None, []))

    assert step.exposed_ns is None
    assert idle.exposed_ns == 4


def test_a_batch_ends_with_one_replay():
    """Faults of one GPU that end together are one batch; another GPU's are another."""
    faults = [fault(1, 10, 30), fault(2, 12, 30, address=4096), fault(1, 31, 40), fault(1, 15, 30, gpu=1)]
    (step,), _ = attribute(faults, [Window(0, 0, 100)])

    assert (step.counts.records[Kind.GPU_FAULT], step.counts.fault_groups, step.counts.fault_batches) == (4, 5, 3)


def test_windows_are_half_open():
    """What starts at a window's end is the next one's; its start is its own; a gap is outside."""
    records = [moved(Kind.HTOD, 1, 100, 120), moved(Kind.HTOD, 2, 200, 210), moved(Kind.HTOD, 4, 10, 20)]
    (first, second), outside = attribute(records, [Window(0, 10, 100), Window(1, 100, 200)])

    assert (first.counts.moved("htod"), second.counts.moved("htod"), outside.moved("htod")) == (4, 1, 2)
    assert (first.htod_ns, second.htod_ns) == (10, 20)


def test_an_interval_over_a_boundary_is_cut_but_its_bytes_are_not():
    """Bytes go where a migration starts, time where it happens."""
    (first, second), _ = attribute([moved(Kind.HTOD, 8, 90, 130)], [Window(0, 0, 100), Window(1, 100, 200)])

    assert (first.counts.moved("htod"), second.counts.moved("htod")) == (8, 0)
    assert (first.htod_ns, second.htod_ns) == (10, 30)


def test_a_record_without_an_end_still_moved_its_bytes():
    """It is counted, and counted as untimed."""
    (step,), _ = attribute([moved(Kind.HTOD, 9, 50, 0), UvmRecord(Kind.CPU_FAULT, 0, 60, 0, 0)], [Window(0, 0, 100)])

    assert (step.counts.untimed, step.counts.moved("htod"), step.htod_ns) == (1, 9, 0)


def test_a_kind_that_did_not_exist_yet_is_counted_as_itself():
    """A counter of a later CUPTI is neither an error nor a fault."""
    (step,), _ = attribute([UvmRecord(9, 77, 5, 8, 0)], [Window(0, 0, 10)])

    assert step.counts.records == {9: 1}
    assert (step.active_ns, step.counts.bytes, step.counts.fault_groups) == (0, {}, 0)


@pytest.mark.parametrize("windows", [[Window(0, 0, 10), Window(1, 9, 20)], [Window(0, 10, 5)]])
def test_windows_that_cannot_be_are_refused(windows):
    """Overlapping windows would count twice; a window that ends before it starts was measured by a clock set back."""
    with pytest.raises(ValueError, match="overlap"):
        attribute([], windows)


def test_phases_join_into_whole_steps():
    """From the start of the first phase to the end of the last, gaps included; in any order."""
    phases = [Window(1, 50, 60, "forward"), Window(0, 20, 30, "optimizer"), Window(0, 0, 10, "forward")]

    assert sorted(whole_steps(phases), key=lambda one: one.index) == [Window(0, 0, 30), Window(1, 50, 60)]


RECORDS = st.lists(
    st.builds(
        lambda kind, value, start, long, address, flags: UvmRecord(
            kind, value, start, start + long, address, flags=flags
        ),
        st.integers(1, 9), st.integers(1, 100), st.integers(1, 300), st.integers(0, 60), st.integers(0, 400),
        st.integers(0, 5),
    ),
    max_size=25,
)  # fmt: skip
CUTS = st.lists(st.integers(0, 400), min_size=2, max_size=7, unique=True).map(sorted)
KERNELS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=6)


@given(RECORDS, CUTS, KERNELS)
def test_nothing_is_lost_and_nothing_counts_twice(records, cuts, kernels):
    """Windows and outside together hold every record, byte and fault group."""
    windows = [Window(n, *pair) for n, pair in enumerate(itertools.pairwise(cuts))]
    steps, outside = attribute(records, windows, kernels)
    parts = [*(step.counts for step in steps), outside]

    assert sum((part.records for part in parts), Counter()) == Counter(record.kind for record in records)
    for kind, direction in DIRECTION.items():
        assert sum(part.moved(direction) for part in parts) == sum(r.value for r in records if r.kind == kind)
    assert sum(part.fault_groups for part in parts) == sum(r.value for r in records if r.kind == Kind.GPU_FAULT)


@given(RECORDS, CUTS, KERNELS)
def test_times_are_those_of_sets_of_moments(records, cuts, kernels):
    """Each time of a window is the number of its nanoseconds in the set it names."""
    steps, _ = attribute(records, [Window(0, cuts[0], cuts[-1])], kernels)
    window = set(range(cuts[0], cuts[-1]))

    def of(*kinds):
        spans = (record.interval for record in records if record.kind in kinds and record.interval)
        return {moment for start, end in spans for moment in range(start, end)} & window

    blocked = of(Kind.GPU_FAULT, Kind.THROTTLING)
    busy = {moment for start, end in union(kernels) for moment in range(start, end)}
    (step,) = steps
    assert step.fault_ns == len(of(Kind.GPU_FAULT))
    assert (step.htod_ns, step.dtoh_ns) == (len(of(Kind.HTOD)), len(of(Kind.DTOH)))
    assert step.migration_ns == len(of(*DIRECTION))
    assert step.throttle_ns == len(of(Kind.THROTTLING))
    assert step.active_ns == len(of(*TIMED))
    assert step.exposed_ns == len((of(*TIMED) - busy) | blocked)


def test_a_block_over_two_tensors_is_split():
    """By overlap; what belongs to no tensor is said, before and after and between."""
    ranges = [
        Range(1500, 300, "a.state2"),
        Range(1000, 500, "a.state1"),
        Range(1850, 100, "b"),
        Range(1900, 0, "empty"),
    ]
    found = by_owner([moved(Kind.HTOD, 1000, 1, 2, address=900), fault(3, 1, 2, address=1000)], ranges)

    assert found == {("a.state1", "htod"): 500, ("a.state2", "htod"): 300, ("b", "htod"): 50, (OTHER, "htod"): 150}


def test_a_tensor_far_below_or_above_owns_nothing():
    """The first byte after a tensor is not its own."""
    ranges = [Range(0, 100, "low"), Range(5000, 100, "high")]

    assert by_owner([moved(Kind.DTOH, 50, 1, 2, address=100)], ranges) == {(OTHER, "dtoh"): 50}
    assert by_owner([moved(Kind.DTOH, 50, 1, 2, address=4950)], ranges) == {(OTHER, "dtoh"): 50}
    assert by_owner([moved(Kind.DTOH, 50, 1, 2, address=4951)], ranges)["high", "dtoh"] == 1


@given(RECORDS, st.lists(st.integers(0, 500), max_size=8, unique=True).map(sorted))
def test_owners_share_every_byte(records, cuts):
    """Owners and others together moved what was moved, byte by byte."""
    ranges = [Range(a, b - a, f"t{a}") for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    owner = {address: one.owner for one in ranges for address in range(one.start, one.start + one.size)}
    expected = Counter(
        (owner.get(address, OTHER), DIRECTION[record.kind])
        for record in records if record.kind in DIRECTION
        for address in range(record.address, record.address + record.value)
    )  # fmt: skip

    assert by_owner(records, ranges) == expected


def test_tensors_that_share_addresses_are_refused():
    """Their bytes would count twice."""
    with pytest.raises(ValueError, match="same addresses"):
        by_owner([], [Range(0, MIB, "a"), Range(MIB - 1, 1, "b")])
