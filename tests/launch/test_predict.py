"""Predicting by the launcher: what a prediction's record holds, where it is kept, and which are still to be made."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import store
from bench.errors import UnknownNameError
from bench.launch import journal, machine
from bench.launch.predict import predict_all, published, unpredicted
from bench.schema import Kind, Status
from bench.schema.metrics import METRICS
from bench.store import Stored
from tests.launch.conftest import asked
from tests.records import fixed_shape, predicted
from tests.records import published as published_record

CITED = {"train.peak_reserved": 3 * 2**20}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Stored]]:
    """A results folder with two predictions for one card, and what predicting gave."""
    root = tmp_path_factory.mktemp("predictions") / "results"
    fitting = asked(device="fake:l40s", packing=True)
    configs = [fitting, fitting.but(method="full", attention="eager", sequence_length=65_536)]
    return root, list(predict_all(configs, root))


def test_a_prediction_is_kept_as_one(kept):
    """Each record lies below its simulated card, is noted as made here, and is of kind predicted."""
    root, made = kept
    stored, unreadable = store.read(root)

    assert unreadable == []
    assert {run.path for run in stored} == {run.path for run in made}
    assert {run.path.relative_to(root).parts[0] for run in stored} == {"fake-l40s"}
    assert {run.path.relative_to(root).as_posix() for run in stored} == set(journal.made_here(root))
    assert {(run.record.kind, run.record.device) for run in made} == {(Kind.PREDICTED, "fake-l40s")}


def test_a_prediction_times_nothing_but_itself(kept):
    """No phase, step or harness has seconds as a metric; predict.seconds is what predicting took."""
    for run in kept[1]:
        seconds = {name for name in run.record.metrics if METRICS[name].unit == "s"}
        assert seconds == {"predict.seconds"}
        assert 0 < run.record.metrics["predict.seconds"] < 60
        assert "step.seconds" not in run.record.series
        assert "nothing is timed" in run.record.absent["step.seconds"]


def test_a_prediction_knows_nothing_of_its_host(kept):
    """Facts are of software, and of the card that is simulated; no processor, memory or GPU of this machine."""
    for run in kept[1]:
        facts = run.record.environment
        assert facts["torch.device"] == "L40S"
        assert facts.items() >= machine.stack().items()
        assert not [name for name in facts if name.startswith(("cpu.", "memory.", "gpu.", "host.", "system"))]
        assert not [name for name in facts if name.startswith("variable.")]


def test_what_does_not_fit_is_predicted_all_the_same(kept):
    """A run that needs more than the card has is out of memory, and says how much it needs."""
    fitting, beyond = (run.record for run in kept[1])

    assert (fitting.status, beyond.status) == (Status.OK, Status.OOM)
    for record in (fitting, beyond):
        fits = record.metrics["train.peak_reserved"] <= record.metrics["predict.capacity"]
        assert fits is (record.status is Status.OK)
    assert "L40S has" in beyond.failure.message


def test_a_card_nobody_knows_is_refused():
    """Nothing is started for a GPU that is not in the catalogue."""
    with pytest.raises(UnknownNameError, match="Did you mean 'l40s'"):
        next(predict_all([asked(device="fake:l4s")], None))


def test_a_published_record_is_of_what_it_cites():
    """It is a record of the card and run that were named, holds the number and nothing else, and names its source."""
    made = published(asked(device="cuda"), "l40s", CITED, "somebody")

    assert (made.kind, made.status, made.device) == (Kind.PUBLISHED, Status.OK, "l40s")
    assert (made.config, made.metrics, made.citation) == (asked(device="cuda"), CITED, "somebody")
    assert (made.environment, made.resolved) == ({}, {})


def stored(*records: object) -> list[Stored]:
    return [Stored(Path(f"{number}.json"), record) for number, record in enumerate(records)]


def test_what_is_published_is_to_be_predicted_once_a_card():
    """Two sources of one run are one prediction; another card or another run are others; what was measured is none."""
    lora, full = fixed_shape("lora"), fixed_shape("full")
    cited = [
        published_record(lora, 1), published_record(lora, 2, citation="another"),
        published_record(lora, 1, gpu="t4"), published_record(full, 1),
        replace(published_record(lora, 1), kind=Kind.MEASURED),
    ]  # fmt: skip

    wanted = unpredicted(stored(*cited))
    assert [(config.method, config.device) for config in wanted] == [
        ("lora", "fake:l40s"), ("lora", "fake:t4"), ("full", "fake:l40s"),
    ]  # fmt: skip
    assert [config.case for config in wanted] == [lora.case, lora.case, full.case]


@pytest.mark.parametrize(("changes", "again"), [({}, False), ({"package.torch": "1.0"}, True)])
def test_what_was_predicted_with_these_versions_is_done(changes, again):
    """A prediction counts for its own card, whether it fits or not, as long as the installed versions made it."""
    config = fixed_shape("lora")
    for fits in (True, False):
        done = predicted(config, fits=fits)
        done = replace(done, environment={**done.environment, **machine.stack(), **changes})
        assert bool(unpredicted(stored(published_record(config, 1), done))) is again
        assert unpredicted(stored(published_record(config, 1, gpu="t4"), done)), "another card"
