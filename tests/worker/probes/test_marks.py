"""A mark stands in the stream of allocations where it was made, and leaves nothing of itself."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.probes.marks import NUMBERED, OPENING, Marker, marked
from bench.worker.probes.trace import Change, Mark


def stream():
    """Return a list of changes and what allocates into it, each block at an address of its own."""
    changes = []

    def allocate(size):
        address = len(changes)
        changes.extend([Change(len(changes), address, size), Change(len(changes) + 1, address, -size)])

    return changes, allocate


@given(st.lists(st.sampled_from(["mark", OPENING, NUMBERED, NUMBERED + 1, 64])))
def test_marks_come_back_where_they_were_made(story):
    """Whatever is allocated between marks, tensors of the telling sizes included, stays; the marks leave."""
    changes, allocate = stream()
    marker = Marker(allocate)
    kept, places = [], []
    for event in story:
        if event == "mark":
            places.append(Mark(2 * len(kept), f"mark {len(places)}"))
            marker.mark(places[-1].name)
        else:
            allocate(event)
            kept.append(event)
    sizes = [size for kind in kept for size in (kind, -kind)]
    if any(pair == (OPENING, NUMBERED + n) for n in range(9) for pair in pairwise(kept)):
        return  # exactly a mark, made by hand

    trace = marked(changes, marker.names)

    assert trace is not None
    assert list(trace.marks) == places
    assert [change.size for change in trace.changes] == sizes


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 7])
def test_a_lost_part_of_a_mark_is_noticed(lost):
    """A stream that lacks any of a mark's four changes gives nothing rather than shifted stages."""
    changes, allocate = stream()
    marker = Marker(allocate)
    marker.mark("forward")
    marker.mark("backward")

    assert marked([c for n, c in enumerate(changes) if n != lost], marker.names) is None


def test_more_marks_than_were_made_are_noticed():
    """Marks of another recording in the same stream are not taken for this one's."""
    changes, allocate = stream()
    marker = Marker(allocate)
    marker.mark("forward")
    marker.mark("backward")

    assert marked(changes, ["forward"]) is None


def test_a_block_that_outlives_its_mark_is_no_mark():
    """The two tensors of a mark are released at once; blocks of their sizes that stay are the step's."""
    changes = [Change(0, 1, OPENING), Change(1, 2, NUMBERED), Change(2, 1, -OPENING), Change(3, 2, -NUMBERED)]

    trace = marked(changes, [])

    assert trace is not None
    assert list(trace.changes) == changes


def test_a_release_at_another_address_makes_no_mark():
    """An older block of a mark's size, released in the middle, is not the mark's own tensor."""
    sizes = [(2, OPENING), (1, OPENING), (2, -OPENING), (3, NUMBERED), (3, -NUMBERED)]
    changes = [Change(time, address, size) for time, (address, size) in enumerate(sizes)]

    trace = marked(changes, [])

    assert trace is not None
    assert list(trace.changes) == changes


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_rests_within_a_mark_and_is_as_before_afterwards(collecting):
    """No cyclic garbage is released between a mark's two tensors, and a disabled collector stays disabled."""
    during = []
    was = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        Marker(lambda _: during.append(gc.isenabled())).mark("forward")
        after = gc.isenabled()
    finally:
        (gc.enable if was else gc.disable)()

    assert during == [False, False]
    assert after is collecting
