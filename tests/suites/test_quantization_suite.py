"""The suite about few bits: what it plans at each scale, and its tables in the end."""

from __future__ import annotations

from pathlib import Path

from tests.suites.test_suites import suites

SUITE = "test_quantization.py"


def test_every_format_block_size_and_compute_dtype_is_planned(tmp_path: Path) -> None:
    """From the small scale on: six formats, all block sizes of bitsandbytes, three compute dtypes, HQQ to one bit."""
    done = suites("--collect-only", "-q", "--scale", "small", "--device", "cpu", "--results", tmp_path, suite=SUITE)

    for held in ("float32", "bfloat16", "float16", "int8", "fp4", "nf4"):
        assert f"test_format[{held}]: " in done.stdout
    for size in (32, 128, 256, 512, 1024, 2048, 4096):
        assert f"test_block_size[{size}]: " in done.stdout
    for dtype in ("float32", "bfloat16", "float16"):
        assert f"test_compute_dtype[{dtype}]: " in done.stdout
    for bits in (8, 4, 3, 2, 1):
        assert f"test_few_bits[{bits}-64]: " in done.stdout


def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path) -> None:
    """A dry run of all cases at the smallest scale shows errors, bits and words."""
    folder = tmp_path / "dry"
    done = suites(
        "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu", "--results", folder, suite=SUITE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("Errors of the model's weights", "Errors of normal numbers", "Bits a weight, counted", "says"):
        assert title in done.stdout


def test_nothing_is_planned_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    """A prediction computes nothing, so there is nothing to compare; the plan says so."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s", "--results", tmp_path, suite=SUITE)

    assert "0 cases, 0 runs" in done.stdout
