"""The stall is what moved state cost and nothing else: not a drift, not a counter, not a state that never paged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import stall as stalls
from bench.analysis.blocks import FEWEST_BLOCKS
from bench.analysis.bus import BUS
from bench.analysis.stall import PAGING, is_cold, pooled, stall, why_not
from bench.schema.metrics.paging import PAGING as NAMES
from tests import records

STATE, PAGED, AWAY = 4_000_000, 3_000_000, 1_500_000
UNTIMED = 2

seconds = st.floats(0.125, 8, width=16)
blocks = st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=1, max_size=8)


def paged(timed, fraction=0.5, paged_bytes=PAGED, **changes):
    """A record whose timed steps took these seconds, in the order the loop makes them."""
    count = len(timed)
    settings = {"steps": UNTIMED + max(1, count), "untimed_steps": UNTIMED, "paging": "fault"}
    config = records.fixed_shape("full", **{**settings, "paging_fraction": fraction, **changes.pop("config", {})})
    away = [(AWAY if fraction else 0) if is_cold(n) else 0 for n in range(count)]
    faults = [40 + n if is_cold(n) else 1000 for n in range(count)]
    series = {
        "step.seconds": (99.0,) * UNTIMED + tuple(timed),
        "step.chilled_bytes": (None,) * UNTIMED + tuple(away),
        "step.major_faults": (None,) * UNTIMED + tuple(faults),
    }
    metrics = {"paging.state_bytes": STATE, "paging.paged_bytes": paged_bytes}
    return records.record(config, **{"metrics": metrics, "series": series, **changes})


def even(count, cold=1.5, resident=1.0):
    return [cold, resident, resident, cold] * count


def test_the_order_is_cold_resident_resident_cold():
    """Eight steps alternate so that both kinds have the same mean place."""
    assert [is_cold(n) for n in range(8)] == [True, False, False, True] * 2


def test_a_stall_by_hand():
    """Cold steps of 1.5, 1.6, 1.7, 1.9 and resident ones of 1.0, 1.1, 1.2, 1.5 s: medians 1.65 and 1.15."""
    record = paged([1.5, 1.0, 1.5, 1.9, 1.7, 1.2, 1.1, 1.6])
    found = stall(record)

    assert found.value == pytest.approx(0.5)
    assert (found.low, found.high, found.n) == (None, None, 2)
    assert PAGING["paging.stall"](record) == pytest.approx(0.5)
    assert PAGING["paging.stall_share"](record) == pytest.approx(0.5 / 1.15)
    assert PAGING["paging.paged_share"](record) == 0.75
    assert PAGING["paging.chilled_bytes"](record) == AWAY
    assert PAGING["paging.cold_major_faults"](record) == 43.5  # of 40, 43, 44, 47


def test_bandwidth_is_the_bytes_sent_away_over_the_stall():
    """1.5 MB in half a second are 3 MB/s, where the stall is surely not 0."""
    record = paged(even(FEWEST_BLOCKS))
    found = stall(record)

    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    assert PAGING["paging.bandwidth"](record) == 3_000_000
    assert why_not(record, "paging.bandwidth") is None


def test_one_block_fewer_than_allowed_has_no_interval_and_no_bandwidth():
    """Five blocks give a stall without an interval, and nothing is divided by it."""
    record = paged(even(FEWEST_BLOCKS - 1))

    assert stall(record).low is None
    assert f"fewer than {FEWEST_BLOCKS}" in stall(record).how
    assert PAGING["paging.bandwidth"](record) is None
    assert "not 0" in why_not(record, "paging.bandwidth")


def test_a_stall_that_may_be_nothing_gives_no_bandwidth():
    """Where the interval reaches 0 the reason names it."""
    noisy = [1.0, 1.2, 1.0, 1.2, 1.2, 1.0, 1.2, 1.0] * 3
    record = paged(noisy)

    assert stall(record).low <= 0 <= stall(record).high
    assert PAGING["paging.bandwidth"](record) is None
    assert "does not lie above 0" in why_not(record, "paging.bandwidth")


def test_a_control_that_moves_nothing_has_a_stall_of_nothing():
    """Fraction 0 makes the same turns; its stall is about 0, and there are no bytes to divide."""
    record = paged(even(FEWEST_BLOCKS, cold=1.0), fraction=0.0)

    assert stall(record).value == 0
    assert PAGING["paging.chilled_bytes"](record) == 0
    assert PAGING["paging.bandwidth"](record) is None

    slower = paged(even(FEWEST_BLOCKS), fraction=0.0)
    assert PAGING["paging.bandwidth"](slower) is None
    assert why_not(slower, "paging.bandwidth") == "nothing was moved out."


@given(start=st.floats(0.5, 4, width=16), slope=st.floats(-0.015625, 0.25, width=16), count=st.integers(1, 7))
def test_a_machine_that_slows_down_steadily_is_no_stall(start, slope, count):
    """A linear drift weighs on cold and resident steps alike."""
    found = stall(paged([start + slope * n for n in range(4 * count)]))
    assert found.value == pytest.approx(0, abs=1e-9)


@given(blocks, st.floats(0, 4, width=16))
def test_what_is_added_to_every_cold_step_is_added_to_the_stall(made, extra):
    """Value and interval move by exactly the seconds that cold steps take longer."""
    plain = [s for block in made for s in block]
    longer = [s + extra * is_cold(n) for n, s in enumerate(plain)]
    before, after = stall(paged(plain)), stall(paged(longer))

    assert after.value - before.value == pytest.approx(extra)
    if before.low is not None:
        assert after.low - before.low == pytest.approx(extra)
        assert after.high - before.high == pytest.approx(extra)


@given(blocks)
def test_the_interval_holds_the_stall_and_repeats_itself(made):
    """The seed is fixed, the value is inside, and an interval exists from six blocks on."""
    record = paged([s for block in made for s in block])
    found = stall(record)

    assert found == stall(record)
    assert found.n == len(made)
    assert (found.low is None) == (len(made) < FEWEST_BLOCKS)
    if found.low is not None:
        assert found.low <= found.value <= found.high


def test_the_bootstrap_draws_whole_blocks():
    """Blocks of very different speed, each with the same stall: cold and resident steps are drawn together."""
    made = [s for level in range(1, 9) for s in (level + 0.25, level, level, level + 0.25)]
    found = stall(paged(made))
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(0.25))


def test_blocks_that_disagree_give_a_wide_interval():
    """Three blocks with a stall of 0.25 s and three of 0.75 s: half of all draws have a majority of either."""
    found = stall(paged(even(3, cold=1.25) + even(3, cold=1.75)))
    assert (found.low, found.value, found.high) == (0.25, 0.5, 0.75)


def test_the_interval_is_the_central_95_percent():
    """One block of ten has a huge stall in one cold step; an interval of extremes would reach it."""
    made = [*even(9), 9.5, 1.0, 1.0, 9.5]
    found = stall(paged(made))
    assert (found.low, found.high) == (0.5, 0.5)


def test_steps_beyond_the_last_whole_block_and_untimed_ones_count_for_nothing():
    """A run cut short after ten timed steps is judged on eight; the 99 s of untimed steps are nowhere."""
    assert stall(paged([*even(2), 7.0, 0.1])) == stall(paged(even(2)))


def test_a_block_with_a_step_that_has_no_time_is_left_out():
    """A null among the seconds takes its block with it, not the order of the others."""
    made = [*even(1), 1.5, None, 1.0, 1.5, *even(1)]
    assert stall(paged(made)).n == 2


REFUSED = [
    ({"paged_bytes": 0}, "pages nothing"),
    ({"config": {"uvm_counters": True, "device": "cuda"}}, "counters were attached"),
    ({"series": {"step.seconds": (1.0,) * 6}}, "moved no optimiser state away"),
    ({"series": {"step.seconds": (1.0,) * 6, "step.chilled_bytes": (None, None, 0, 5, 5, 0)}}, "not in the order"),
    ({"series": {"step.seconds": (1.0,) * 6, "step.chilled_bytes": (None, None, 5, 0, 0, 0)}}, "not in the order"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_what_is_no_stall_is_refused_with_its_reason(changes, reason):
    """No paged byte, a counter's cost, no turns, or turns in another order: absent, never 0."""
    record = paged(even(1), **changes)

    assert stall(record) is None
    for name in ("paging.stall", "paging.stall_share", "paging.bandwidth"):
        assert PAGING[name](record) is None
        assert reason in why_not(record, name)


def test_three_steps_are_too_few():
    """A run that ended in its first block has no stall."""
    record = paged([1.5, 1.0, 1.0])
    assert stall(record) is None
    assert why_not(record, "paging.stall") == "needs 4 timed steps or more; the run has 3."


def test_a_share_without_its_parts_is_absent():
    """A run that did not note its state has no paged share, and a state of 0 bytes divides nothing."""
    assert PAGING["paging.paged_share"](paged(even(1), metrics={})) is None
    nothing = paged(even(1), metrics={"paging.state_bytes": 0, "paging.paged_bytes": 0})
    assert PAGING["paging.paged_share"](nothing) is None
    assert "optimiser state" in why_not(nothing, "paging.paged_share")
    assert PAGING["paging.paged_share"](paged(even(1), paged_bytes=0)) == 0


def test_a_series_that_was_not_kept_is_named():
    """Minor faults were not counted here; the reason says which series is missing."""
    assert why_not(paged(even(1)), "paging.cold_minor_faults") == "no step has step.minor_faults."
    assert why_not(paged(even(1)), "train.seconds") is None


def test_runs_of_a_case_are_pooled_as_runs():
    """The mean of three runs' stalls; runs that disagree widen the interval beyond that of each."""
    runs = [paged(even(4, cold=1.0 + extra), config={"seed": seed}) for seed, extra in enumerate((0.2, 0.5, 1.1))]
    found = pooled(runs)

    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(1.1))
    assert found.n == 12
    assert "3 runs" in found.how
    assert all(stall(run).low is None for run in runs)


def test_a_run_without_a_stall_does_not_enter_the_pool():
    """A counted pass beside two plain runs changes nothing; nothing at all gives nothing."""
    plain = [paged(even(4)), paged(even(4))]
    counted = paged(even(4, cold=9.0), config={"uvm_counters": True, "device": "cuda"})

    assert pooled([*plain, counted]) == pooled(plain)
    assert pooled(plain[:1]) == stall(plain[0])
    assert pooled([counted]) is None
    assert pooled([]) is None


def test_every_name_is_a_metric_computed_from_a_series_it_names():
    """What is derived here is in the schema's list, and the other way round for what is not CUPTI's or a rule's."""
    derived = {name for name, metric in NAMES.items() if metric.raw and metric.raw.startswith(("step.", "paging."))}
    derived -= set(BUS)
    assert set(PAGING) == derived
    assert set(stalls.SERIES) <= derived
