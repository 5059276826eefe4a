"""The suites of paging and of what fits: their plans, their dry runs, and what they refuse."""

from __future__ import annotations

import re

import pytest

from bench import store
from bench.schema import Status
from tests.suites.test_suites import suites


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    """One dry run of everything, the search for limits too; its folder and what pytest said."""
    folder = tmp_path_factory.mktemp("dry") / "results"
    return folder, suites("--benchmark-only", "--dry-run", "--find-limit", "-rs", "--results", folder, suite="")


def test_all_suites_go_through_the_whole_chain(dry):
    """Every suite runs, a GPU's counters, many devices and large models are skipped with reasons, tables printed."""
    _, done = dry

    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed, 13 skipped", done.stdout)
    assert passed
    assert int(passed[1]) > 30
    reasons = ("unified-memory counters count on NVIDIA GPUs", "predict it with --device fake:<gpu>")
    assert all(reason in done.stdout for reason in reasons)
    for title in ("What paging costs", "What paging moves", "The largest work that fits", "All cases"):
        assert title in done.stdout


def test_the_search_ends_beside_the_edge_with_a_record_a_try(dry):
    """The made-up worker fits 64 sequences: 64 ran, 65 ran out of memory, and both are records."""
    folder, done = dry
    stored, _ = store.read(folder)
    tries = {r.record.config.batch_size: r.record.status for r in stored if not r.record.config.inspect}

    assert "test_largest_batch[lora]: the largest batch_size that fits is 64; 65 does not" in done.stdout
    assert tries[64] is Status.OK
    assert tries[65] is Status.OOM


def test_a_kept_search_makes_no_run_again(dry):
    """The same search once more takes every try from before."""
    folder, _ = dry
    done = suites("--benchmark-only", "--dry-run", "--find-limit", "--results", folder, suite="test_limits.py")

    lines = [line for line in done.stdout.splitlines() if "batch_size=" in line]
    assert lines
    assert all("kept from before" in line for line in lines)


def test_cold_and_resident_steps_take_turns(dry):
    """A paging run's steps are cold, resident, resident, cold after the untimed ones."""
    folder, _ = dry
    stored, _ = store.read(folder)
    away = next(
        r.record.series["step.chilled_bytes"]
        for r in stored
        if r.record.config.paging == "fault" and r.record.config.paging_fraction == 1
    )

    assert away[:2] == (None, None)
    assert [bool(b) for b in away[2:6]] == [True, False, False, True]


def test_a_search_without_a_bound_is_refused_on_a_cpu(tmp_path):
    """--find-limit on a CPU says that it needs --memory-limit, and a size that is none is named."""
    unbounded = suites("--benchmark-only", "--find-limit", "--device", "cpu", "--results", tmp_path / "r")
    nonsense = suites("--benchmark-only", "--memory-limit", "much", "--results", tmp_path / "r")

    assert unbounded.returncode == nonsense.returncode == 4
    assert "--memory-limit, for example 8GiB" in unbounded.stderr
    assert "--memory-limit 'much' is no size" in nonsense.stderr


def test_limits_are_searched_only_when_asked_for(tmp_path):
    """Without --find-limit the suite is skipped, with the option that asks for it."""
    done = suites("--benchmark-only", "--dry-run", "-rs", "--results", tmp_path / "r", suite="test_limits.py")

    assert "ask for it with --find-limit" in done.stdout
    assert "6 skipped" in done.stdout


def test_the_plan_says_what_would_be_searched():
    """With --collect-only a search is one line with the setting it varies."""
    done = suites("--collect-only", "--dry-run", "--find-limit", suite="test_limits.py")

    assert "test_largest_batch[full], by batch_size: 1 x smollm2-135m-full" in done.stdout
