"""A timeline is short, keeps every height that matters, and its stacks sum to the total."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.worker.probes.attribution import replay, totals
from bench.worker.probes.timeline import timeline
from bench.worker.probes.trace import Block, Change, Mark, Trace


def attributed(changes, before=()):
    """Replay `(time, address, size)` as one forward pass."""
    return replay(before, Trace([Change(*change) for change in changes], [Mark(0, "forward")]), {})


def stacks(series):
    """Return the sum of all categories at every instant."""
    columns = [values for name, values in series.items() if name != "timeline.seconds"]
    return [sum(instant) for instant in zip(*columns, strict=True)]


@st.composite
def runs(draw):
    """Releases only of what is alive, at times that rarely fall back."""
    alive, changes, time = {}, [], draw(st.integers(0, 10**18))
    for address in draw(st.lists(st.integers(0, 30), max_size=300)):
        time += draw(st.sampled_from([0, 1, 1, 1, 50, 10_000, -1]))
        size = -alive.pop(address) if address in alive else draw(st.integers(1, 1000))
        if size > 0:
            alive[address] = size
        changes.append((time, address, size))
    return attributed(changes, [Block(1000, draw(st.integers(0, 500)), "base_float32")])


@given(runs(), st.integers(1, 160))
def test_the_peak_survives_in_few_instants(run, most):
    """At most `most` instants, their times in order from 0, and the peak is the highest of them."""
    series = timeline(run, most)

    seconds = series["timeline.seconds"]
    assert len(seconds) <= most
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    if run.total:
        assert max(stacks(series)) == run.total


@given(runs(), st.integers(1, 160))
def test_every_stretch_shows_its_highest_instant(run, most):
    """Within a stretch of time nothing was higher than what the timeline shows there."""
    series = timeline(run, most)
    if not run.shifts or not run.total:
        return
    times, top = [], run.shifts[0].time_ns
    for shift in run.shifts:
        top = max(top, shift.time_ns)
        times.append(top - run.shifts[0].time_ns)
    span = times[-1] + 1

    shown = {}
    for second, height in zip(series["timeline.seconds"], stacks(series), strict=True):
        shown[round(second * 1e9) * most // span] = height
    highest = {}
    for passed, height in zip(times, totals(run.start, run.shifts)[1:], strict=True):
        here = passed * most // span
        highest[here] = max(highest.get(here, 0), height)

    assert all(shown[stretch] >= height for stretch, height in highest.items())
    assert set(stacks(series)) <= set(totals(run.start, run.shifts))


def test_a_fall_shows_where_it_happens():
    """A peak does not seem to last through the silence that follows it."""
    series = timeline(attributed([(0, 1, 10), (1, 2, 90), (2, 2, -90), (99, 3, 5)]), most=10)

    assert series["timeline.seconds"] == [1e-9, 10e-9, 99e-9]
    assert series["timeline.temporaries"] == [100, 10, 15]


def test_only_categories_that_occur_are_told():
    """Zero throughout is left out; present at one instant is in."""
    series = timeline(attributed([(5, 1, 10), (6, 1, -10)], [Block(9, 3, "buffers")]))

    assert set(series) == {"timeline.seconds", "timeline.buffers", "timeline.temporaries"}


def test_a_step_that_allocates_nothing_is_one_instant():
    """What was alive all along is shown once."""
    assert timeline(attributed([], [Block(9, 3, "buffers")])) == {
        "timeline.seconds": [0.0],
        "timeline.buffers": [3],
    }
