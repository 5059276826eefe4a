"""A metric over time: its level's changes are found where they are, and not where they are not."""

from __future__ import annotations

import math
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.history import changes, points
from tests.comparisons import slower
from tests.records import cases_of, filled, fixed_shape, record

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]
STEP = "train.step_seconds"


def runs(levels: list[tuple[int, float, str]], chance: int = 1, cv: float = 0.01) -> list:
    """Runs on one day after the other: (how many, how slow, release of peft) of every level."""
    rng = random.Random(chance)
    found = []
    for count, level, peft in levels:
        for _ in range(count):
            made = slower(record(fixed_shape("lora")), level * math.exp(rng.gauss(0, cv)))
            started = f"2026-{1 + len(found) // 28:02}-{1 + len(found) % 28:02}T10:00:00Z"
            found.append(replace(made, started=started, environment={**made.environment, "package.peft": peft}))
    return found


def test_a_step_is_found_where_it_is():
    """10 % more from the thirteenth run on: one change, there, with both levels and the release that came with it."""
    (change,) = changes(points(cases_of(*runs([(12, 1.0, "0.20.0"), (12, 1.1, "0.21.2")])), STEP))
    assert change.at.started == "2026-01-13T10:00:00Z"
    assert change.after / change.before == pytest.approx(1.1, rel=0.02)
    assert change.differs == ("peft 0.20.0 to 0.21.2",)


def test_two_steps_are_two():
    """Up and down again are two changes, in order."""
    found = changes(points(cases_of(*runs([(10, 1.0, "1"), (10, 1.2, "2"), (10, 1.0, "3")])), STEP))
    assert [change.differs for change in found] == [("peft 1 to 2",), ("peft 2 to 3",)]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_noise_is_no_change(chance):
    """Thirty runs of one level, whatever the noise, have no change point; the error rate is one in a thousand."""
    assert changes(points(cases_of(*runs([(30, 1.0, "1")], chance, cv=0.05)), STEP)) == []


def test_few_runs_are_not_looked_at():
    """With fewer than eight runs on a side nothing is said, however large the step."""
    assert changes(points(cases_of(*runs([(7, 1.0, "1"), (7, 9.0, "2")])), STEP)) == []


def test_exact_numbers_change_too():
    """A number without any noise that takes another value has changed, and one that does not has not."""
    same = runs([(10, 1.0, "1"), (10, 1.0, "2")])
    more = [replace(one, metrics={**one.metrics, "parameters.trainable": 5}) for one in same[10:]]
    assert changes(points(cases_of(*same), "parameters.trainable")) == []
    assert len(changes(points(cases_of(*same[:10], *more), "parameters.trainable"))) == 1


def test_the_command_shows_a_row_a_release(ftbench: Ftbench, tmp_path: Path) -> None:
    """`ftbench history` has a row for every stretch of one software, the change in words, and says it is advice."""
    filled(tmp_path, *runs([(10, 1.0, "0.20.0"), (10, 1.1, "0.21.2")]))
    done = ftbench("history", "smollm2-135m-lora", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.20.0" in done.stdout
    assert "The level seems to change on 2026-01-11" in done.stdout
    assert "peft 0.20.0 to 0.21.2" in done.stdout
    assert ftbench("history", "nosuch", "--results", tmp_path).returncode == 2
    assert ftbench("history", "smollm2", "--metric", "nosuch", "--results", tmp_path).returncode == 2
