"""The real worker under the launcher: both ways to start give the same record, and all its time is accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import pytest

from bench.launch.process import Launcher
from bench.schema import RunRecord, Status
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import STAGES
from bench.schema.record import FETCH
from tests.launch.conftest import asked

pytestmark = pytest.mark.slow

Runs = Callable[[str, str], tuple[RunRecord, float]]
METHODS = ("full", "lora", "qlora")
NEIGHBOURS = {"train.neighbour_cores", "train.stolen_cores"}
"""Told only of half a second or more, which a busy machine may take for these steps and a quiet one does not."""
SPEED = {"steps": 4, "batch_size": 2, "sequence_length": 32, "packing": True, "evaluate_items": 4}


@pytest.fixture(scope="module")
def run(tiny_cache) -> Runs:
    """Run a method on tiny-llama in one of the two isolations, once; return the record and the wall time outside."""
    launchers = {
        isolation: Launcher(device="x", machine={}, isolation=isolation, variables={"FTBENCH_CACHE": str(tiny_cache)})
        for isolation in ("fork", "spawn")
    }

    @cache
    def once(isolation: str, method: str) -> tuple[RunRecord, float]:
        start = time.monotonic()
        record = launchers[isolation].run(asked(method=method, **SPEED))
        return record, time.monotonic() - start

    yield once
    for launcher in launchers.values():
        launcher.close()


@pytest.mark.parametrize("method", METHODS)
def test_fork_and_spawn_give_the_same_record(run, method):
    """Losses and verdicts to the bit, counts and peak tensor memory to the byte, and the same names of metrics."""
    (forked, _), (spawned, _) = run("fork", method), run("spawn", method)
    assert (forked.status, spawned.status) == (Status.OK, Status.OK), (forked.failure, spawned.failure)
    assert forked.metrics.keys() - NEIGHBOURS == spawned.metrics.keys() - NEIGHBOURS
    assert forked.series["step.loss"] == spawned.series["step.loss"]
    for name in METRICS:
        if METRICS[name].noise == "exact" or name == "train.peak_allocated":
            assert forked.metrics.get(name) == spawned.metrics.get(name), name
    assert (forked.items, forked.resolved) == (spawned.items, spawned.resolved)
    assert forked.absent.keys() - NEIGHBOURS == spawned.absent.keys() - NEIGHBOURS
    differing = {k for k in forked.environment | spawned.environment
                 if forked.environment.get(k) != spawned.environment.get(k)}  # fmt: skip
    assert differing == {"run.isolation"}


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("method", METHODS)
def test_all_time_is_accounted_for(run, isolation, method):
    """Imports, phases and the harness's own seconds are all positive and add up to no more than the run took."""
    record, wall = run(isolation, method)
    stages = {f"{stage}.seconds" for stage in STAGES}  # within inspect.seconds
    parts = {
        k: v
        for k, v in record.metrics.items()
        if (k.endswith(".seconds") and k not in stages) or k == "start.import_seconds"
    }
    assert parts["inspect.seconds"] >= sum(record.metrics[stage] for stage in stages)
    assert {"start.import_seconds", "load.seconds", "train.seconds", "evaluate.seconds", "harness.seconds"} <= set(
        parts
    )
    assert all(seconds >= 0 for seconds in parts.values())
    assert sum(parts.values()) <= wall


def test_the_same_seed_gives_the_same_run_again(run, tiny_cache):
    """A repeat in a new launcher has the same losses, to the bit."""
    first, _ = run("fork", "lora")
    with Launcher(device="x", machine={}, isolation="fork", variables={"FTBENCH_CACHE": str(tiny_cache)}) as launcher:
        again = launcher.run(asked(method="lora", **SPEED))
    assert again.series["step.loss"] == first.series["step.loss"]


def test_a_model_that_is_not_here_is_unsupported_with_the_remedy(run, tiny_cache):
    """A run of a model nobody fetched ends as unsupported, in the phase of fetching, and names the command."""
    with Launcher(device="x", machine={}, isolation="fork", variables={"FTBENCH_CACHE": str(tiny_cache)}) as launcher:
        record = launcher.run(asked(model="qwen2.5-0.5b"))
    assert (record.status, record.failure.phase) == (Status.UNSUPPORTED, FETCH)
    assert "ftbench fetch qwen2.5-0.5b" in record.failure.message
