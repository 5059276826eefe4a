"""The suite about merging: what it plans at each scale, and its tables in the end."""

from __future__ import annotations

from pathlib import Path

from tests.suites.test_suites import suites

SUITE = "test_merging.py"


def test_at_full_scale_every_way_meets_every_quantised_base(tmp_path: Path) -> None:
    """Twelve ways by base, a grid of how much is learned, and at least six ranks with their alphas."""
    done = suites("--collect-only", "-q", "--scale", "full", "--device", "cpu", "--results", tmp_path, suite=SUITE)

    for base in ("nf4", "fp4", "int8"):
        for way in ("dequantized", "requantized", "original", "original_requantized"):
            assert f"test_ways[{base}-{way}]: " in done.stdout
    assert done.stdout.count("test_learned[") == 2 * 9  # once as a test, once in the plan
    assert done.stdout.count("test_adapter[") >= 2 * 6


def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path) -> None:
    """A dry run of all cases at the smallest scale shows what is kept, said, right and held."""
    folder = tmp_path / "dry"
    done = suites(
        "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu", "--results", folder, suite=SUITE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for title in (
        "What of the update is in the merged weights",
        "What the merged model says",
        "weighs",
        "Drift of a base",
    ):
        assert title in done.stdout


def test_nothing_is_planned_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """A prediction computes nothing, so there is nothing to compare; the plan says so."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s", "--results", tmp_path, suite=SUITE)

    assert "0 cases, 0 runs" in done.stdout
