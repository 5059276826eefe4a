"""Charts of memory: categories that sum to the peak, and a step over time with its peak among what is drawn."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.memory_charts import GIB, INSTANTS, LEAST, timeline, waterfall
from tests.records import AT_PEAK, METHODS, cases_of, fixed_shape, record


def test_bars_sum_to_the_peak_but_for_what_is_too_small_to_see() -> None:
    """Each method's parts add up to its total within what is left out, and the table has the total itself."""
    cases = {method: cases_of(record(fixed_shape(method)))[0] for method in METHODS}
    chart = waterfall(cases, "x")
    assert chart is not None
    for place, (method, case) in enumerate(cases.items()):
        (total,) = case.values("at_peak.total")
        drawn = sum(trace["x"][place] for trace in chart.figure["data"]) * GIB
        assert drawn == pytest.approx(total, rel=10 * LEAST)
        assert chart.table.rows[place]["at_peak.total"].value == total
        weights = next(trace for trace in chart.figure["data"] if trace["name"] == "base f32")
        assert weights["x"][place] * GIB == pytest.approx(AT_PEAK[method]["base_float32"], rel=1e-4)


def test_without_categories_there_is_no_bar() -> None:
    """A run that was not looked into gives no chart."""
    assert waterfall({"Full": cases_of(record(fixed_shape("full", inspect=False)))[0]}, "x") is None


def followed(instants: int, peak_at: int) -> object:
    """A run whose step was followed over so many instants, with one spike."""
    made = record(fixed_shape("full"))
    levels = [9 * GIB if at == peak_at else GIB for at in range(instants)]
    series = {"timeline.seconds": tuple(0.01 * at for at in range(instants)), "timeline.activations": tuple(levels),
              "timeline.buffers": (256,) * instants}  # fmt: skip
    return cases_of(replace(made, series={**made.series, **series}))[0]


@pytest.mark.parametrize(("instants", "peak_at"), [(5, 2), (160, 0), (160, 77), (160, 159), (1000, 501)])
def test_the_peak_is_drawn_however_many_instants_there_are(instants: int, peak_at: int) -> None:
    """No more instants than a chart needs, first and last among them, and the spike whole; its moment is said."""
    chart = timeline(followed(instants, peak_at), "Full", "x")  # type: ignore[arg-type]
    assert chart is not None
    (area,) = chart.figure["data"]
    assert area["name"] == "activations"
    assert len(area["x"]) <= min(instants, INSTANTS + 2)
    assert max(area["y"]) == 9
    assert (area["x"][0], area["x"][-1]) == (0, pytest.approx(0.01 * (instants - 1), rel=1e-4))
    assert "9.00 GiB" in chart.finding


def test_a_run_that_was_not_followed_has_no_timeline() -> None:
    """No series, no chart."""
    assert timeline(cases_of(record(fixed_shape("full")))[0], "Full", "x") is None
