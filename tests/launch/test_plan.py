"""The plan of a session: every case, how long it should take, and what it should need."""

from __future__ import annotations

import pytest

from bench import store
from bench.launch import dry
from bench.launch.plan import Plan, duration
from bench.launch.work import Work
from bench.schema import Kind

WORK = Work("tiny-llama", "addition", "cpu", "smoke", 1)


@pytest.fixture
def plan(tmp_path):
    """An empty plan for a device whose records would lie in a folder of the test."""
    return Plan(tmp_path, "example-cpu", rounds=lambda wanted: wanted)


def lines(plan):
    """What a CPU session would say."""
    return list(plan.lines(on_gpu=False, simulates=False))


def test_every_case_is_named_with_its_repeats(plan):
    """Trainings with their steps, searches with their setting, and the sum of runs."""
    plan.planner("test_one")(WORK.speed("lora"), 3)
    plan.search_planner("test_two")(WORK.trial("full"), "batch_size")

    first, second, total = list(plan.lines(on_gpu=False, simulates=True))

    assert first.startswith("test_one: 3 x tiny-llama-lora-r16")
    assert first.endswith("4 steps")
    assert second.startswith("test_two, by batch_size: 1 x tiny-llama-full")
    assert total.startswith("2 cases, 4 runs on example-cpu")


def test_the_peak_is_that_of_the_largest_case(plan, tmp_path, monkeypatch):
    """Full fine-tuning at a larger batch is simulated and named; its tensors hold weights, gradients and states."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path / "cache"))
    large = WORK.speed("full", batch_size=8)
    for config in (WORK.speed("lora"), large):
        plan.planner("test")(config, 1)

    (said,) = [line for line in lines(plan) if line.startswith("predicted peak")]

    assert large.case in said
    assert "MiB of tensors in training, of the 2 cases" in said


def test_without_runs_nobody_knows_how_long(plan, tmp_path, monkeypatch):
    """No time is said before there is one run to judge by; with one, it is told what it rests on."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path / "cache"))
    plan.planner("test")(WORK.speed("lora"), 2)
    assert any(line.startswith("estimated time: unknown") for line in lines(plan))

    made = dry.record(WORK.speed("lora"))
    made.metrics["train.seconds"] = 600.0
    path = tmp_path / "example-cpu" / made.case / "20260101T000000Z-0.json"
    store.save(_measured(made), tmp_path)
    assert path.parent.is_dir()

    assert "estimated time: 20 min (1 case as it took before)" in lines(plan)


def _measured(record):
    from msgspec.structs import replace

    return replace(record, kind=Kind.MEASURED, device="example-cpu")


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 s"), (119, "2 min"), (720, "12 min"), (7500, "2 h 5 min"), (0, "0 s")]
)
def test_durations_are_written_for_people(seconds, said):
    """Seconds below two minutes, then minutes, then hours with minutes."""
    assert duration(seconds) == said
