"""Which phase set a peak, and what a peak consisted of, is said only where it is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.peaks import SORTS, agreement, highest, set_by, share_of_peak, telling_sort
from bench.schema import RunRecord, Status
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES, PHASES
from tests.records import cases_of, everything, failed, fixed_shape, on_gpu, record


def with_metrics(**metrics: int) -> RunRecord:
    named = {name.replace("__", "."): number for name, number in metrics.items()}
    return replace(record(fixed_shape("full")), metrics=named)


@given(st.dictionaries(st.sampled_from(list(PHASES)), st.integers(0, 3), min_size=1))
def test_the_highest_peak_is_the_earliest_of_the_largest(peaks: dict[str, int]) -> None:
    """No phase is above it, and no earlier phase reaches it."""
    made = with_metrics(**{f"{phase}__peak_reserved": number for phase, number in peaks.items()})
    found = highest(made, "peak_reserved")
    assert found is not None
    assert found.value == max(peaks.values()) == made.metrics[found.metric]
    before = list(PHASES)[: list(PHASES).index(found.phase)]
    assert all(peaks[phase] < found.value for phase in before if phase in peaks)
    assert highest(made, "peak_device") is None


def test_every_sort_exists_in_every_phase() -> None:
    """The names that peaks are read by are names of metrics."""
    assert {f"{phase}.{sort}" for phase in PHASES for sort in SORTS} <= set(METRICS)


@pytest.mark.parametrize(
    ("metrics", "sort"),
    [
        ({"load__peak_device": 1, "train__peak_device": 2, "load__peak_allocated": 5, "train__peak_allocated": 4},
         "peak_device"),
        ({"load__peak_reserved": 1, "train__peak_reserved": 2, "load__peak_allocated": 1, "train__peak_allocated": 2},
         "peak_reserved"),
        ({"train__peak_allocated": 9, "load__peak_resident": 1, "train__peak_resident": 1}, "peak_resident"),
        ({"train__peak_allocated": 9, "train__peak_resident": 1}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_phases_are_judged_by_what_most_of_them_hold(metrics: dict[str, int], sort: str | None) -> None:
    """The GPU before the allocator before the host; but a sort that only the training phase has proves nothing."""
    assert telling_sort(with_metrics(**metrics)) == sort


def test_the_phase_that_set_the_maximum_is_named_with_its_sort() -> None:
    """Runs that agree give one name; runs that do not are counted; a failed run has no say."""
    load = {"load__peak_resident": 9, "train__peak_resident": 5}
    train = {"load__peak_resident": 3, "train__peak_resident": 5}
    runs = [with_metrics(**load), with_metrics(**train), with_metrics(**train)]
    assert [set_by(case) for case in cases_of(*runs[1:])] == [("train", "peak_resident")]
    assert [set_by(case) for case in cases_of(*runs)] == [("train in 2 of 3 runs, load in 1", "peak_resident")]
    gpu = with_metrics(load__peak_device=2, train__peak_device=1)
    assert [set_by(case) for case in cases_of(runs[0], gpu)] == [("load", "peak_device")]
    dead = replace(failed(fixed_shape("full")), metrics={"load.peak_resident": 99, "train.peak_resident": 1})
    assert [set_by(case) for case in cases_of(*runs[1:], dead)] == [("train", "peak_resident")]
    assert [set_by(case) for case in cases_of(dead)] == [None]


@given(st.lists(st.sampled_from("abc"), max_size=6))
def test_agreement_counts_every_answer(answers: list[str]) -> None:
    """One answer stands alone; several are listed, the most frequent first, and their counts sum to all."""
    said = agreement(answers)
    if len(set(answers)) <= 1:
        assert said == (answers[0] if answers else "")
    else:
        assert sum(int(word) for word in said.replace(",", " ").split() if word.isdigit()) - len(answers) == len(
            answers
        )
        assert f"in {max(map(answers.count, answers))} of {len(answers)} runs" in said


@pytest.mark.parametrize("made", [*everything(), on_gpu(fixed_shape("qlora"))], ids=lambda made: made.case)
def test_parts_sum_to_the_peak(made: RunRecord) -> None:
    """The example records' categories sum to the peak they explain, to the byte, and their shares to 1."""
    names = [f"at_peak.{name}" for name in CATEGORIES]
    shares = [share_of_peak(made, name) for name in names]
    if made.status is not Status.OK:
        assert shares == [None] * len(names)
        return
    assert sum(made.metrics[name] for name in names) == made.metrics["at_peak.total"]
    assert made.metrics["at_peak.total"] == made.metrics["train.peak_allocated"]
    assert sum(share or 0 for share in shares) == pytest.approx(1)


def test_a_share_of_nothing_is_0_and_one_not_looked_for_is_none() -> None:
    """Full has no adapter, which is 0; what was not looked into, or not seen, has no share."""
    looked, blind = record(fixed_shape("full")), record(fixed_shape("full", inspect=False))
    assert share_of_peak(looked, "at_peak.adapters") == 0
    assert share_of_peak(looked, "at_peak.outside_torch") is None
    assert share_of_peak(blind, "at_peak.adapters") is None
