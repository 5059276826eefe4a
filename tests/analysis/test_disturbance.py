"""A disturbed run is called disturbed, with the reason and its size; a quiet one, or one that cannot tell, is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.disturbance import DRIFT, LIMITS, disturbances, drift, pages_on_purpose
from bench.schema import RunRecord
from bench.schema.metrics import METRICS
from tests.records import failed, fixed_shape, record

speed = st.floats(1e6, 1e15)
QUIET = {
    "canary.gemm_before": 3.0e11, "canary.gemm_after": 2.71e11,
    "canary.copy_before": 3.0e10, "canary.copy_after": 3.1e10,
    "train.neighbour_cores": 0.1, "train.stolen_cores": 0.05, "train.foreign_processes": 0,
    "train.throttled_seconds": 0.0, "train.power_cap_seconds": 9.0, "train.cpu_stall": 9.0, "train.io_stall": 9.0,
    "train.memory_stall": 0.1, "train.timed_seconds": 10.0, "train.major_faults": 200, "train.seconds": 20.0,
}  # fmt: skip
"""At every limit, above none."""


def saying(config: dict[str, object] | None = None, **metrics: float) -> RunRecord:
    """A record that says just these numbers of its machine (train__seconds=1)."""
    made = record(fixed_shape("full", **(config or {})))
    return replace(made, metrics={name.replace("__", "."): value for name, value in metrics.items()})


def quiet_but(**changes: float) -> RunRecord:
    return replace(saying(), metrics={**QUIET, **saying(**changes).metrics})


def test_a_quiet_run_was_not_disturbed() -> None:
    """At the limits there is no reason yet; waiting for a core or a disk and the power cap are none at all."""
    assert disturbances(quiet_but()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"canary__gemm_after": 2.6e11}, "13% faster or slower"),
        ({"canary__copy_after": 3.6e10}, "20% faster or slower"),
        ({"train__neighbour_cores": 0.13}, "0.13 cores"),
        ({"train__stolen_cores": 0.06}, "hypervisor gave 0.06 cores"),
        ({"train__foreign_processes": 2}, "used the GPU: 2"),
        ({"train__throttled_seconds": 0.25}, "0.25 s"),
        ({"train__memory_stall": 0.15}, "1.5% of the timed steps"),
        ({"train__major_faults": 300}, "15 page faults a second"),
    ],
)
def test_each_disturbance_is_told_alone_with_its_size(changes: dict[str, float], words: str) -> None:
    """One number above its limit gives one reason, and the reason says how much it was."""
    reasons = disturbances(quiet_but(**changes))

    assert len(reasons) == 1
    assert words in reasons[0]


def test_all_reasons_are_told() -> None:
    """A run disturbed in every way says so in every way."""
    loud = {name: value * 2 + 1 for name, value in QUIET.items() if not name.endswith(("_before", "timed_seconds"))}
    loud["train.seconds"] = QUIET["train.seconds"]

    assert len(disturbances(replace(saying(), metrics={**QUIET, **loud}))) == 3 + len(LIMITS)


@pytest.mark.parametrize("name", sorted(QUIET))
def test_a_number_that_is_absent_disturbs_nothing(name: str) -> None:
    """Each number may be missing; what nobody measured is no reason and no error."""
    made = quiet_but()
    assert disturbances(replace(made, metrics={n: v for n, v in made.metrics.items() if n != name})) == []


def test_runs_without_numbers_have_no_reasons() -> None:
    """A run that failed, or that took place where nothing can be told, is not called disturbed."""
    assert disturbances(failed(fixed_shape("full"))) == []
    assert disturbances(record(fixed_shape("full"))) == []
    assert disturbances(saying(train__seconds=0.0, train__major_faults=9, train__timed_seconds=0.0)) == []


@pytest.mark.parametrize(
    "paging",
    [
        saying(paging__paged_bytes=1),
        saying({"paging": "fault", "optimizer": "paged_adamw_8bit", "paging_fraction": 0.5}),
    ],
)
def test_a_run_about_paging_is_not_disturbed_by_paging(paging: RunRecord) -> None:
    """Its faults and its waiting for memory are its subject; a neighbour disturbs it all the same."""
    loud = {**QUIET, "train.memory_stall": 9.0, "train.major_faults": 10**6, **paging.metrics}
    assert pages_on_purpose(paging)
    assert disturbances(replace(paging, metrics=loud)) == []

    reasons = disturbances(replace(paging, metrics={**loud, "train.neighbour_cores": 0.5}))
    assert len(reasons) == 1


def test_a_paged_optimiser_that_paged_nothing_is_no_excuse() -> None:
    """Without a paged byte, page faults are a disturbance as in any other run."""
    made = replace(saying({"optimizer": "paged_adamw_8bit"}), metrics={**QUIET, "paging.paged_bytes": 0})
    assert not pages_on_purpose(made)
    assert disturbances(replace(made, metrics={**made.metrics, "train.major_faults": 10**6}))


@given(speed, speed, speed, speed)
def test_drift_is_the_largest_change_of_either_canary(gemm: float, later: float, copy: float, after: float) -> None:
    """It is relative to before, counts in both directions, and is 0 only where nothing changed."""
    made = saying(
        canary__gemm_before=gemm, canary__gemm_after=later, canary__copy_before=copy, canary__copy_after=after
    )
    expected = max(abs(later / gemm - 1), abs(after / copy - 1))

    assert drift(made) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert (drift(made) == 0) == (gemm == later and copy == after)


@given(speed, speed)
def test_one_canary_is_enough(before: float, after: float) -> None:
    """A canary that sang at one end only says nothing; the other one still does."""
    made = saying(canary__copy_before=before, canary__copy_after=after, canary__gemm_before=before)

    assert drift(made) == pytest.approx(abs(after / before - 1), rel=1e-6, abs=1e-9)


def test_no_canary_is_no_drift_of_zero() -> None:
    """Nothing sung, or at one end only, or at speed 0 before: there is no drift to tell."""
    assert drift(saying()) is None
    assert drift(saying(canary__gemm_before=1e11, canary__copy_after=1e10)) is None
    assert drift(saying(canary__gemm_before=0.0, canary__gemm_after=1e11)) is None


def test_a_canary_that_stopped_is_the_largest_drift() -> None:
    """A speed of 0 afterwards is a change by 100 %, not an absent number."""
    assert drift(saying(canary__gemm_before=1e11, canary__gemm_after=0.0)) == 1.0


def test_limits_are_about_metrics_that_exist() -> None:
    """Every limit names a metric, and its sentence takes the value."""
    assert {limit.metric for limit in LIMITS} <= METRICS.keys()
    assert all(limit.words.format(1.5) != limit.words for limit in LIMITS)
    assert DRIFT == 0.10
