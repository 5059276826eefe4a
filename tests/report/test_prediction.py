"""One prediction, in lines and as JSON: its numbers, whether it fits, and never a number for what is not known."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from bench.report.prediction import as_json, refusal, text
from bench.schema import Failure, RunRecord, Status
from tests.records import METHODS, fixed_shape, predicted

FITS = predicted(fixed_shape("lora"))
BEYOND = predicted(fixed_shape("lora", batch_size=64), fits=False)
REFUSED = replace(
    FITS, status=Status.UNSUPPORTED, metrics={"predict.seconds": 1.0},
    failure=Failure(phase="load", message="it is not simulated."),
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_lines_tell_phases_stages_parts_and_fit(method):
    """Each phase and stage that was simulated has a line, the parts of the peak add up, and the error is said."""
    lines = text(predicted(fixed_shape(method)), "median 1 %").splitlines()

    assert lines[0].startswith(f"predicted: smollm2-135m-{method}")
    assert lines[0].endswith(" on L40S")
    assert sum("peak while" in line for line in lines) == 2
    assert sum(line.endswith(" tensors") and line.startswith("    ") for line in lines) == 3
    shares = [int(line.split("%")[0].split()[-1]) for line in lines if "%  " in line]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    assert shares == sorted(shares, reverse=True)
    assert lines[-3].startswith("  fits into the ")
    assert lines[-2:] == ["  largest batch that fits: 24", "  expected error: median 1 %"]


def test_a_run_that_does_not_fit_says_what_is_missing():
    """Its peaks are there all the same, then the room and the allocation that found none."""
    said = text(BEYOND, "unknown")

    assert "peak while training" in said
    assert "does not fit into the " in said
    assert BEYOND.failure is not None
    assert BEYOND.failure.message in said
    assert "  fits into" not in said


def test_retries_of_the_allocator_are_said():
    """A run that only fits once cached memory was given back says how often."""
    again = replace(FITS, metrics={**FITS.metrics, "predict.retries": 3})

    assert "given cached memory back 3 times" in text(again, "unknown")
    assert "given" not in text(FITS, "unknown")


def test_a_largest_batch_that_is_not_known_says_why():
    """Where the search found none, its reason stands there; where nobody asked, nothing does."""
    without = {name: number for name, number in FITS.metrics.items() if name != "predict.largest_batch"}
    reason = {"predict.largest_batch": "the batch is no line"}

    assert "largest batch that fits: unknown, the batch is no line" in text(
        replace(FITS, metrics=without, absent=reason), "unknown"
    )
    assert "largest batch" not in text(replace(FITS, metrics=without, absent={}), "unknown")


@pytest.mark.parametrize(("record", "fits"), [(FITS, True), (BEYOND, False), (REFUSED, None)])
def test_json_is_the_record_and_its_verdict(record: RunRecord, fits: bool | None):
    """`fits` is true, false, or null where there is no prediction; every metric keeps its value and name."""
    said = json.loads(as_json(record, "median 1 %"))

    assert (said["fits"], said["expected_error"]) == (fits, "median 1 %")
    assert (said["kind"], said["status"]) == ("predicted", record.status.value)
    assert said["metrics"] == record.metrics


def test_no_prediction_is_a_sentence():
    """What could not be predicted has no lines, and a reason; also where its process died without one."""
    assert text(REFUSED, "unknown") == ""
    assert refusal(REFUSED) == "unsupported: it is not simulated."
    assert refusal(replace(REFUSED, status=Status.CRASHED, failure=None)) == "crashed: no reason recorded"
