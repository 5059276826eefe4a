"""The verdict: nothing counts before a known answer was given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.paging.attribution import attribute
from bench.worker.paging.canary import CANARY_BYTES
from bench.worker.paging.capture import ClockPair, Losses, clock_step
from bench.worker.paging.uvm import Kind
from bench.worker.paging.validity import Level, judge
from tests.worker.paging.made import CANARY_WINDOW, MIB, captured, fault, good_pass, moved


def judged(records=None, windows=None, sent=None, omitted=0, **capture):
    good_records, good_windows, good_sent = good_pass()
    records = good_records if records is None else records
    windows = good_windows if windows is None else windows
    steps, _ = attribute(records, windows)
    return judge(captured(records, windows, **capture), steps, good_sent if sent is None else sent, omitted)


def test_a_good_pass_is_counted():
    """Canary seen, resident control empty, every byte back: no reason to doubt."""
    assert judged() == (verdict := judged())
    assert (verdict.level, verdict.reasons) == (Level.COUNTED, ())


def replaced(index, **change):
    records = good_pass()[0]
    records[index] = replace(records[index], **change)
    return records


@pytest.mark.parametrize("seen", [0, CANARY_BYTES - 1])
def test_a_canary_not_seen_whole_stops_everything(seen):
    """Attached too late: no record, or not all of the canary."""
    verdict = judged(replaced(0, value=seen))

    assert verdict.level is Level.NOT_MEASURED
    assert "canary" in verdict.reasons[0]


def test_a_canary_that_went_the_other_way_was_not_seen():
    """Only bytes to the device are the answer."""
    assert judged(replaced(0, kind=Kind.DTOH)).level is Level.NOT_MEASURED


def test_no_record_at_all_is_not_zero():
    """Zero records are no measurement of zero faults."""
    assert judged([]).level is Level.NOT_MEASURED


def test_no_canary_no_count():
    """A pass whose canary never ran."""
    records, windows, _ = good_pass()
    verdict = judged(records[1:], [window for window in windows if window != CANARY_WINDOW])

    assert (verdict.level, len(verdict.reasons)) == (Level.NOT_MEASURED, 1)


@pytest.mark.parametrize(
    ("share", "level"),
    [(0.0, Level.LOWER_BOUND), (0.979, Level.LOWER_BOUND), (0.981, Level.COUNTED), (1.049, Level.COUNTED),
     (1.051, Level.NOT_MEASURED)],
)  # fmt: skip
def test_bytes_must_reconcile(share, level):
    """From 0.98 to 1.05 of what was sent away; fewer were lost, more came from elsewhere. One bad step is enough."""
    verdict = judged(replaced(-1, value=int(share * 4 * MIB)))

    assert verdict.level is level
    assert all(f"brought back {int(share * 4 * MIB) / 4 / MIB:.3f}" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("stray", [fault(1, 250, 251), moved(Kind.DTOH, 1, 250, 251), moved(Kind.HTOD, 1, 250, 251)])
def test_a_resident_step_must_be_silent(stray):
    """One fault or one byte, in or out, means that something else pages."""
    verdict = judged([*good_pass()[0], stray])

    assert verdict.level is Level.NOT_MEASURED
    assert "something else pages" in verdict.reasons[0]


def test_the_first_step_is_not_judged():
    """It populates: faults and bytes of a step whose answer is not known are fine."""
    assert judged([*good_pass()[0], moved(Kind.HTOD, 77 * MIB, 150, 160)]).level is Level.COUNTED


@pytest.mark.parametrize(("sent", "reason"), [({2: 4 * MIB, 3: 4 * MIB}, "control"), ({1: 0, 4: 0}, "known")])
def test_a_check_that_never_ran_leaves_a_lower_bound(sent, reason):
    """Without a resident control, or without a step of known bytes, counts are not proven complete."""
    verdict = judged(sent=sent)

    assert (verdict.level, len(verdict.reasons)) == (Level.LOWER_BOUND, 1)
    assert reason in verdict.reasons[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"losses": Losses(dropped=3)}, {"losses": Losses(dropped=None)}, {"losses": Losses(foreign=1)},
        {"losses": Losses(unreturned=1)}, {"losses": Losses(over_limit=1)}, {"omitted": 1},
    ],
)  # fmt: skip
def test_a_known_loss_leaves_a_lower_bound(settings):
    """Even if the bytes reconcile: faults may be among what is missing."""
    verdict = judged(**settings)

    assert (verdict.level, len(verdict.reasons)) == (Level.LOWER_BOUND, 1)


def test_a_fault_of_the_capture_stops_everything():
    """A buffer that could not be read."""
    assert judged(faults=("unreadable.",)).level is Level.NOT_MEASURED


@pytest.mark.parametrize(("step", "level"), [(900_000, Level.COUNTED), (1_100_000, Level.NOT_MEASURED)])
@pytest.mark.parametrize("way", [1, -1])
def test_a_clock_that_was_set_stops_everything(step, level, way):
    """More than a millisecond, forwards or backwards."""
    clocks = (ClockPair(5_000_000, 0, 0), ClockPair(5_000_100 + way * step, 100, 100))

    assert judged(clocks=clocks).level is level


def test_an_untried_cupti_is_remarked_on():
    """A later CUPTI whose answers are right counts, and it is said that nobody has tried it."""
    records, windows, sent = good_pass()
    steps, _ = attribute(records, windows)
    verdict = judge(replace(captured(records, windows), api=130500), steps, sent)

    assert verdict.level is Level.COUNTED
    assert "130500" in verdict.reasons[0]


def test_the_worst_finding_decides_and_all_are_told():
    """A lower bound and a stop together are a stop."""
    verdict = judged(faults=("unreadable.",), losses=Losses(dropped=3))

    assert (verdict.level, len(verdict.reasons)) == (Level.NOT_MEASURED, 2)


@given(st.integers(-(10**9), 10**9), st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), min_size=1, max_size=8))
def test_being_held_up_never_looks_like_a_step(offset, readings):
    """However long a process waits between two readings: clocks that run alike show no step."""
    clocks, now = [], 0
    for gap, first, second in readings:
        now += gap
        clocks.append(ClockPair(now + first + offset, now, now + first + second))
        now += first + second

    assert clock_step(clocks) == 0


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 1000))
def test_a_step_is_never_overstated(step, first, second):
    """A real step of the clock shows, less at most the width of the two readings."""
    clocks = [ClockPair(10**12 + first, 0, first + second), ClockPair(10**12 + 5000 + first + step, 5000, 5000 + first)]

    assert step - (first + second) - first <= clock_step(clocks) <= step


def test_no_pair_no_step():
    """A capture without clocks."""
    assert clock_step([]) == 0
