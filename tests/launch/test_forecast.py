"""Forecasts: what a run on this machine's card needs is told once, kept, and stops nothing it should not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench import store
from bench.launch import machine
from bench.launch.forecast import MARGIN, PATIENCE_S, Forecasts, far_beyond, needed
from bench.schema import Failure, Kind, RunRecord, Status
from tests.launch.conftest import asked
from tests.records import fixed_shape, predicted

GIB = 2**30
T4 = {"gpu.name": "NVIDIA Tesla T4", "gpu.memory_bytes": 15 * GIB, "gpu.multiprocessors": 40, "cpu.model": "Example"}
FITS = asked(device="cuda", packing=True)
BEYOND = asked(device="cuda", packing=True, attention="eager", sequence_length=65_536)
"""Scores of every token with every other: hundreds of GiB at next to no cost for the simulation."""
PAGING = asked(device="cuda", paging="fault", optimizer="paged_adamw_8bit")


@pytest.fixture(scope="module")
def on_t4() -> Iterator[None]:
    """This machine has a T4."""
    with pytest.MonkeyPatch.context() as patch:
        there = {**machine.software(), **T4}
        patch.setattr(machine, "facts", lambda: dict(there))
        yield


@pytest.fixture(scope="module")
def root(on_t4, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that holds predictions of the same run for another card, and by another torch."""
    folder = tmp_path_factory.mktemp("forecasts") / "results"
    stack = machine.stack()
    for gpu, torch in (("l40s", stack["package.torch"]), ("t4", "1.0")):
        made = predicted(FITS.but(method="lora"), gpu)
        store.save(replace(made, environment={**made.environment, **stack, "package.torch": torch}), folder)
    return folder


@pytest.fixture(scope="module")
def forecasts(root: Path) -> Iterator[Forecasts]:
    made = Forecasts.for_this_gpu(root)
    yield made
    made.close()


def test_a_run_is_predicted_for_this_card_once(forecasts, root):
    """The first seed makes the prediction, in the results folder; every other seed is told the same record."""
    before = set(root.rglob("*.json"))
    told = [forecasts.told(FITS.but(seed=seed)) for seed in (3, 4)]
    new = set(root.rglob("*.json")) - before

    assert [run.path for run in told] == [*new] * 2, "neither another card's nor another version's prediction will do"
    record = told[0].record
    assert (record.kind, record.status, record.device) == (Kind.PREDICTED, Status.OK, "fake-t4")
    assert (record.case, record.config.device, record.config.seed) == (FITS.case, "fake:t4", 0)
    assert "cpu.model" not in record.environment
    assert forecasts.sentence(FITS) == f"predicted {needed(record)}"


def test_what_does_not_fit_is_told_with_what_it_needs(forecasts):
    """A run far beyond the card is out of memory, and its sentence says so."""
    record = forecasts.told(BEYOND).record

    assert record.status is Status.OOM
    assert far_beyond(record)
    assert forecasts.sentence(BEYOND).endswith("GiB, which does not fit")


def test_what_cannot_be_predicted_has_no_forecast_but_a_reason(forecasts):
    """Cold steps are not simulated: nothing is told, and the sentence says why."""
    assert forecasts.told(PAGING) is None
    assert forecasts.sentence(PAGING).startswith("no forecast: page faults and what they cost are not predicted")


def test_the_next_session_predicts_nothing_again(forecasts, root):
    """What lies in the results folder is told, also that there is no forecast, and no process is started for it."""
    known = [forecasts.told(FITS), forecasts.told(BEYOND), forecasts.told(PAGING)]
    before = sorted(root.rglob("*.json"))
    later = Forecasts.for_this_gpu(root)

    assert [run and run.path for run in map(later.told, (FITS, BEYOND, PAGING))] == [run and run.path for run in known]
    assert later._launcher._keeper is None
    assert sorted(root.rglob("*.json")) == before


@pytest.mark.parametrize(
    "facts", [{}, {**T4, "gpu.name": "Example GPU"}, {**T4, "gpu.multiprocessors": 20}, {**T4, "gpu.memory_bytes": GIB}]
)
def test_a_card_nobody_knows_has_no_forecast(monkeypatch, tmp_path, facts):
    """Unless name, multiprocessors and memory agree, nothing is told, nothing is made, and the reason is said."""
    monkeypatch.setattr(machine, "facts", lambda: facts)
    unknown = Forecasts.for_this_gpu(tmp_path / "results")

    assert unknown.told(FITS) is None
    assert unknown.sentence(FITS) == "no forecast: this GPU is not in the catalogue"
    unknown.close()
    assert list(tmp_path.iterdir()) == []


def of(status: Status, need: int, capacity: int) -> RunRecord:
    """A prediction that needs so many bytes of a card that has so many."""
    made = predicted(fixed_shape("lora"), fits=status is Status.OK)
    metrics = {"load.peak_reserved": 1, "train.peak_reserved": need, "predict.capacity": capacity}
    return replace(made, metrics={**made.metrics, **metrics})


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_only_what_is_far_beyond_is_not_tried(need, capacity):
    """A run that fits is always tried, and so is one that exceeds the card by less than the margin."""
    assert not far_beyond(of(Status.OK, need, capacity))
    assert far_beyond(of(Status.OOM, need, capacity)) is (need > MARGIN * capacity)


def test_what_is_needed_is_the_largest_of_all_phases():
    """The device's peak over all phases in GiB, with the verdict; unknown where no phase has one."""
    record = of(Status.OK, 1, 1)
    more = {**record.metrics, "merge.peak_device": 40 * GIB}

    assert needed(replace(record, metrics=more)) == "40 GiB"
    assert needed(replace(of(Status.OOM, 1, 1), metrics=more)) == "40 GiB, which does not fit"
    assert needed(replace(record, metrics={})) == "unknown"


def test_a_large_need_is_told_without_powers():
    """From a thousand GiB on, all digits are told."""
    large = {"train.peak_device": 1572 * GIB}
    assert needed(replace(of(Status.OK, 1, 1), metrics=large)) == "1,572 GiB"


@pytest.mark.parametrize("status", [Status.ERROR, Status.CRASHED, Status.TIMEOUT])
def test_a_prediction_that_went_wrong_is_made_again(on_t4, tmp_path, status):
    """A failure of the next session's first prediction is no reason to have none; and its time is bounded."""
    stack = machine.stack()
    failure = Failure(phase="train", message="made up")
    wrong = replace(predicted(FITS, "t4"), status=status, failure=failure, metrics={})
    store.save(replace(wrong, environment={**wrong.environment, **stack}), tmp_path)
    later = Forecasts.for_this_gpu(tmp_path)
    told = later.told(FITS.but(timeout_s=86_400.0))
    later.close()

    assert told.record.status is Status.OK
    assert told.record.config.timeout_s == PATIENCE_S


def test_news_are_told_once(forecasts):
    """A case's forecast is news once, whatever the seed; the reason why there is none is news once for all cases."""
    first, other = FITS.but(rank=4), PAGING.but(paging="prefetch")
    assert forecasts.news(first).startswith("predicted ")
    assert forecasts.news(PAGING).startswith("no forecast: page faults")
    assert [forecasts.news(config) for config in (first.but(seed=1), PAGING, other)] == [None] * 3
