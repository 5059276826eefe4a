"""How long runs take: as they took, or scaled from runs like them, and never invented."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis.duration import Durations, run_seconds
from bench.launch import dry
from bench.schema import Status
from bench.schema.config import configure
from bench.store import Stored

BASE = configure(model="tiny-llama", method="lora", task="addition", steps=10, evaluate_items=20)
PARTS = {"load.seconds": 1.0, "train.seconds": 10.0, "evaluate.seconds": 4.0, "forward.seconds": 0.5,
         "train.timed_seconds": 9.0, "start.import_seconds": 2.0, "harness.seconds": 0.5}  # fmt: skip


def ran(config, status=Status.OK, **more):
    """A run of `config` that took 17.5 s."""
    return Stored(Path("run.json"), replace(dry.record(config), status=status, metrics={**PARTS, **more}))


def test_a_runs_parts_are_counted_once():
    """Stages lie within the inspection and timed steps within training, so they add nothing."""
    assert run_seconds(ran(BASE).record) == 17.5


def test_the_same_case_takes_what_it_took():
    """The median of its runs, whatever other cases took."""
    known = Durations([ran(BASE), ran(BASE.but(seed=1), **{"load.seconds": 3.0}), ran(BASE.but(seed=2)),
                       ran(BASE.but(rank=4), **{"load.seconds": 90.0})])  # fmt: skip

    assert known.of(BASE) == (17.5, "same")


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [({"rank": 4}, 17.5), ({"steps": 20}, 27.5), ({"evaluate_items": 40}, 21.5), ({"batch_size": 8}, 27.5)],
)
def test_a_case_like_another_is_scaled(changes, seconds):
    """Training by steps and tokens, evaluation by items; loading and the rest stay."""
    assert Durations([ran(BASE)]).of(BASE.but(**changes)) == (seconds, "alike")


def test_the_most_alike_run_counts():
    """A run of the same method says more than one of another."""
    known = Durations([ran(BASE, **{"load.seconds": 2.0}), ran(BASE.but(method="full"), **{"load.seconds": 50.0})])

    assert known.of(BASE.but(rank=4)) == (18.5, "alike")


def test_nothing_is_known_of_another_model():
    """Its runs would be of another size, so nobody says how long."""
    assert Durations([ran(BASE)]).of(BASE.but(model="smollm2-135m")) is None


def test_a_crash_tells_no_duration():
    """A run that was cut short does not say how long a whole one takes."""
    assert Durations([ran(BASE, Status.CRASHED)]).of(BASE) is None
