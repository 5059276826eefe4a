"""The suite about kernels: what it plans at each scale, and its tables in the end."""

from __future__ import annotations

from pathlib import Path

from tests.suites.test_suites import suites

SUITE = "test_numerics.py"


def test_every_operation_meets_every_format_shape_and_dtype(tmp_path: Path) -> None:
    """From the small scale on: seven operations, three formats, three dtypes, six shapes."""
    done = suites("--collect-only", "-q", "--scale", "small", "--device", "cpu", "--results", tmp_path, suite=SUITE)

    assert done.stdout.count("test_kernel[") == 2 * 7 * 3 * 3 * 6  # once as a test, once in the plan
    assert "test_kernel[evaluation-fp4-bfloat16-64-160]: " in done.stdout


def test_a_kernels_case_is_the_same_whatever_the_session_trains(tmp_path: Path) -> None:
    """There is no model in it, so another model or task is no other case."""
    options = "--collect-only", "-q", "--scale", "smoke", "--device", "cpu", "--results", tmp_path
    tiny, large = (
        [line.split(" x ")[1].split(",")[0] for line in
         suites(*options, "--model", model, "--task", task, suite=SUITE).stdout.splitlines() if " x numerics-" in line]
        for model, task in (("tiny-llama", "addition"), ("llama-3.1-8b", "dates"))
    )  # fmt: skip

    assert tiny == large
    assert len(tiny) > 20


def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path) -> None:
    """A dry run of all cases at the smallest scale shows both tables."""
    folder = tmp_path / "dry"
    done = suites(
        "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu", "--results", folder, suite=SUITE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("Which kernels are right", "Every kernel that was checked"):
        assert title in done.stdout


def test_nothing_is_planned_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """A prediction computes nothing, so there is nothing to check; the plan says so."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s", "--results", tmp_path, suite=SUITE)

    assert "0 cases, 0 runs" in done.stdout
