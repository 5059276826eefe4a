"""The suite about inference: what it plans at each scale, and its tables in the end."""

from __future__ import annotations

from pathlib import Path

from tests.suites.test_suites import suites

SUITE = "test_inference.py"


def test_at_full_scale_bases_states_and_work_are_all_there(tmp_path: Path) -> None:
    """Both quantised bases in all states, six ranks, DoRA with and without its cache, five batches, three prompts."""
    done = suites("--collect-only", "-q", "--scale", "full", "--device", "cpu", "--results", tmp_path, suite=SUITE)

    for base in ("nf4", "int8"):
        for state in ("base", "unmerged", "merged"):
            assert f"test_quantized[{base}-{state}]: " in done.stdout
    for test, count in {"rank": 6, "targets": 3, "dora": 2, "batch": 5, "prompt": 3, "state": 2, "base": 1}.items():
        assert done.stdout.count(f"test_{test}[") == 2 * count, test  # once as a test, once in the plan


def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path) -> None:
    """A dry run of the smallest scale shows time, memory and logits, timed as tokens and not as steps."""
    folder = tmp_path / "dry"
    done = suites(
        "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu", "--results", folder, suite=SUITE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("costs per token", "holds in memory", "to the logits", "against base"):
        assert words in done.stdout
    assert "The times above are seconds a generated token, one median a run." in done.stdout
    assert "seconds an optimiser step" not in done.stdout


def test_nothing_is_planned_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """A prediction times nothing, so there is nothing to compare; the plan says so."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s", "--results", tmp_path, suite=SUITE)

    assert "0 cases, 0 runs" in done.stdout
