"""Values are read off records as METRICS defines them, and absence always has a reason."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.analysis.values import DERIVED, NOT_ASKED, batch_speeds, is_answer, reason, value
from bench.errors import UnknownNameError
from bench.schema import Failure, Kind, RunRecord, Status
from bench.schema.metrics import METRICS
from tests.records import failed, fixed_shape, learning, predicted, published, record


def hand_made(**series: tuple[float | None, ...]) -> RunRecord:
    made = record(fixed_shape("full", steps=4, untimed_steps=2))
    return replace(made, metrics={}, items={}, series={name.replace("__", "."): v for name, v in series.items()})


def test_step_seconds_is_the_median_of_timed_steps() -> None:
    """Untimed first steps, however slow, do not enter the seconds of a step."""
    made = hand_made(step__seconds=(90.0, 50.0, 2.0, 4.0))
    assert value(made, "train.step_seconds") == 3.0


def test_training_speed_is_tokens_over_seconds_of_timed_steps() -> None:
    """Tokens a second is the sum of real tokens over the sum of seconds, both over timed steps."""
    made = hand_made(
        step__seconds=(90.0, 50.0, 2.0, 4.0), step__tokens_real=(1, 1, 100, 500), step__tokens_all=(512,) * 4
    )
    assert value(made, "train.tokens_per_second") == 100.0


def test_losses_skip_what_was_not_finite() -> None:
    """The last loss is the mean of the last tenth without nulls; a first loss that is null is absent."""
    made = hand_made(step__loss=(None, *(3.0,) * 17, 1.0, None))
    assert value(made, "train.loss_last") == 1.0
    assert value(made, "train.loss_first") is None
    assert reason(made, "train.loss_first") == "the loss was not a finite number"


def test_last_loss_of_few_steps_is_the_last_one() -> None:
    """With fewer than ten steps the last tenth is one step."""
    assert value(hand_made(step__loss=(3.0, 2.0, 1.5)), "train.loss_last") == 1.5


def test_accuracies_count_right_items() -> None:
    """Accuracy is the share of ones before and after training."""
    made = replace(hand_made(), items={"before": "1000", "after": "1110"})
    assert (value(made, "evaluate.accuracy_before"), value(made, "evaluate.accuracy")) == (0.25, 0.75)


def test_generation_speed_uses_the_pass_after_training() -> None:
    """Generated tokens a second leaves the pass before training out."""
    made = hand_made(
        evaluate__batch_seconds=(1.0, 3.0), evaluate__batch_tokens=(20, 60), evaluate__before__batch_seconds=(9.0,)
    )
    assert value(made, "evaluate.tokens_per_second") == 20.0
    assert batch_speeds(made) == [20.0, 20.0]


def test_a_written_metric_wins_over_the_series() -> None:
    """What the run wrote down is taken as it is."""
    made = replace(hand_made(step__seconds=(1.0,) * 4), metrics={"train.step_seconds": 7})
    assert value(made, "train.step_seconds") == 7.0


@pytest.mark.parametrize("name", sorted(METRICS))
def test_an_empty_record_has_no_values_but_reasons(name: str) -> None:
    """A record that holds nothing yields None, never 0, for every metric, with a reason: the device's, or not asked."""
    empty = replace(hand_made(), absent={}, metrics={})
    assert value(empty, name) is None
    where = METRICS[name].devices
    assert reason(empty, name) == (f"exists on {' and '.join(where)} only" if where else NOT_ASKED)


def test_the_device_is_a_reason_only_where_it_lacks_the_metric() -> None:
    """A CPU has no SM clock, whatever became of the run; on a GPU, numbered or not, it was not asked for."""
    assert reason(failed(fixed_shape("full")), "train.sm_clock") == "exists on cuda only"
    for device in ("cuda", "cuda:1"):
        made = record(fixed_shape("full", device=device), metrics={})
        assert reason(made, "train.sm_clock") == NOT_ASKED


def test_a_prediction_lacks_what_is_computed() -> None:
    """Whatever the device, a missing time is one that nothing took; sizes are not held, parts of the peak not there."""
    for made in (predicted(fixed_shape("full")), predicted(fixed_shape("full"), fits=False)):
        for name in ("train.step_seconds", "train.energy", "train.sm_clock", "evaluate.accuracy"):
            assert reason(made, name) == "nothing is computed in a prediction"
        assert reason(made, "train.peak_resident") == "predictions do not hold it"
        less = replace(made, metrics={"at_peak.total": 5, "predict.capacity": 9})
        assert reason(less, "at_peak.adapters") == "nothing of this was alive at the peak"
    said = replace(predicted(fixed_shape("full")), absent={"predict.largest_batch": "no straight line."})
    assert reason(said, "predict.largest_batch") == "no straight line."


def test_what_is_not_a_prediction_says_what_it_is() -> None:
    """A prediction that died has its failure, a published number lacks what its source does not say."""
    died = failed(fixed_shape("full"), kind=Kind.PREDICTED)
    assert reason(died, "train.step_seconds").startswith("oom in train: not enough memory")
    assert not is_answer(died)
    assert reason(published(fixed_shape("full"), 5), "train.step_seconds") == "its source does not say"


def test_parts_of_a_peak_share_its_reason() -> None:
    """Where the peak was not taken apart all parts say why; where it was, a part that is left out was not there."""
    unseen = replace(hand_made(), absent={"at_peak.total": "no memory left to look inside."})
    assert reason(unseen, "at_peak.gradients") == "no memory left to look inside."
    seen = replace(hand_made(), metrics={"at_peak.total": 5, "at_peak.gradients": 5})
    assert reason(seen, "at_peak.adapters") == "nothing of this was alive at the peak"
    assert value(seen, "at_peak.adapters") is None
    slack = replace(seen, config=seen.config.but(device="cuda"))
    assert reason(slack, "at_peak.allocator_slack") == NOT_ASKED
    assert reason(seen, "train.peak_allocated") == NOT_ASKED


def test_a_derived_metric_names_the_reason_of_its_raw_number() -> None:
    """What is computed from a number that is absent is absent for the same reason."""
    made = replace(hand_made(), absent={"canary.gemm_before": "no time for canaries"})
    assert reason(made, "canary.drift") == "no time for canaries"


def test_the_drift_of_canaries_is_derived() -> None:
    """The relative change of the canary that changed most."""
    sung = {"canary.gemm_before": 100.0, "canary.gemm_after": 90.0, "canary.copy_before": 10.0, "canary.copy_after": 8}
    assert value(replace(hand_made(), metrics=sung), "canary.drift") == pytest.approx(0.2)


def test_reasons_come_from_the_run_then_from_its_failure() -> None:
    """The run's own reason comes first, then its failure's phase and message."""
    made = record(fixed_shape("lora"))
    assert "CUDA only" in reason(made, "train.peak_reserved")
    assert reason(failed(fixed_shape("full")), "train.step_seconds").startswith("oom in train: not enough memory")
    crashed = replace(made, status=Status.CRASHED, failure=Failure(phase="load", message="gone"), absent={})
    assert reason(crashed, "evaluate.accuracy") == "crashed in load: gone"


def test_paging_is_read_off_the_steps() -> None:
    """A stall comes from its run's cold and resident steps; a run with too few of them says so; others did not ask."""
    steps = {"step.seconds": (9.0, 9.0, 5.0, 2.0, 2.0, 5.0), "step.chilled_bytes": (None, None, 8, 0, 0, 8)}
    config = fixed_shape("full", steps=6, untimed_steps=2, paging="fault", paging_fraction=1.0)
    paged = record(config, metrics={}, series=steps)
    short = replace(paged, series={name: numbers[:4] for name, numbers in steps.items()})

    assert (value(paged, "paging.stall"), value(paged, "paging.chilled_bytes")) == (3.0, 8.0)
    assert value(short, "paging.stall") is None
    assert "needs 4 timed steps" in reason(short, "paging.stall")
    assert reason(hand_made(), "paging.stall") == NOT_ASKED


def test_unknown_metrics_are_refused_with_the_nearest_name() -> None:
    """A misspelt metric is an error that names the right one."""
    with pytest.raises(UnknownNameError, match=r"train\.step_seconds"):
        value(record(learning("full")), "train.step_second")


def test_every_metric_that_names_a_raw_series_is_derived() -> None:
    """METRICS and the formulas agree on what is computed when read."""
    assert {name for name, metric in METRICS.items() if metric.raw} == set(DERIVED)


@pytest.mark.parametrize(
    ("losses", "rise", "diverged"),
    [
        ((3.0, 2.0, 1.0), 0.0, 0),
        ((3.0, 1.0, 2.5), 1.5, 0),
        ((3.0, 1.0, 3.5), 2.5, 1),
        ((3.0, None, 1.0), None, 1),
        ((*(5.0,) * 9, 9.0, *(5.0,) * 10), 2.0, 0),  # a single step counts by the mean of its tenth: (5 + 9) / 2 - 5
    ],
)
def test_a_loss_that_rises_or_ends_above_its_start_is_told(losses, rise, diverged):
    """The rise is taken over means of tenths; not finite, or above the first tenth in the end, is diverged."""
    made = replace(record(learning("lora")), series={"step.loss": losses})

    assert value(made, "train.loss_rise") == rise
    assert value(made, "train.diverged") == diverged
