"""The suite about adapters: what it plans at each scale, and its tables in the end."""

from __future__ import annotations

from pathlib import Path

from tests.suites.test_suites import suites

SUITE = "test_adapters.py"


def test_at_full_scale_there_are_up_to_thirty_two_adapters(tmp_path: Path) -> None:
    """Six counts, both quantised bases with few and many, DoRA and a dozen others, and a combination by SVD."""
    done = suites("--collect-only", "-q", "--scale", "full", "--device", "cpu", "--results", tmp_path, suite=SUITE)

    for name in ("count[32]", "quantized[nf4-32]", "quantized[int8-2]", "kind[dora]", "kind[ia3]", "combination[svd]"):
        assert f"test_{name}: " in done.stdout
    assert done.stdout.count("test_count[") == 2 * 6  # once as a test, once in the plan


def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path) -> None:
    """A dry run of the smallest scale shows what is changed, combined, mixed and held."""
    folder = tmp_path / "dry"
    done = suites(
        "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu", "--results", folder, suite=SUITE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("changing adapters costs", "into one costs", "different adapters costs", "What adapters hold"):
        assert words in done.stdout
    assert "The times above are seconds to make another adapter the active one" in done.stdout


def test_nothing_is_planned_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """A prediction times nothing; the plan says so."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s", "--results", tmp_path, suite=SUITE)

    assert "0 cases, 0 runs" in done.stdout
