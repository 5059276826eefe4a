"""Processes that die, hang or run out of memory: the run ends in bounded time, says why, and leaves nobody behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cache
from bench.launch.process import Launcher
from bench.launch.workers import Worker
from bench.schema import RunConfig, RunRecord, Status

HERE = str(Path(__file__).parent)
BOUND_S = 90.0
"""Imports, meeting, three steps, the patience below, and a busy machine."""


def spoiled(how: str, tiny_cache: Path, config: RunConfig) -> tuple[RunRecord, float]:
    """Run a config whose second process is spoiled in its third step; return the record and how long that took."""
    variables = {cache.VARIABLE: str(tiny_cache), "PYTHONPATH": HERE, "FTBENCH_TEST_SPOILED": how}
    worker = Worker("spoiled:main", "bench.worker.preload:preload")
    with Launcher(device="here", machine={}, isolation="fork", worker=worker, variables=variables) as launcher:
        begun = time.monotonic()
        return launcher.run(config), time.monotonic() - begun


def left_behind() -> list[int]:
    """Return processes that the test's runs left, by the variable that they carry."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"FTBENCH_TEST_SPOILED" in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("strategy", "how", "status", "words"),
    [
        ("ddp", "killed", Status.CRASHED, "rank 1: killed by SIGKILL"),
        ("ddp", "raises", Status.ERROR, "rank 1: ValueError: spoiled"),
        ("ddp", "memory", Status.OOM, "rank 1: the host has no"),
        ("ddp", "hangs", Status.ERROR, "rank 1 was still in train"),
        ("zero3", "killed", Status.CRASHED, "rank 1: killed by SIGKILL"),
        ("zero3", "hangs", Status.ERROR, "rank 1 was still in train"),
    ],
)
def test_a_lost_process_ends_the_run_with_its_reason(
    tiny_cache: Path, tiny_config: Callable[..., RunConfig], strategy: str, how: str, status: Status, words: str
) -> None:
    """Whatever happens to one process, the run is a failed result in bounded time, and no process outlives it."""
    config = tiny_config("lora", study="distributed", strategy=strategy, steps=6, packing=True, sequence_length=32,
                         timeout_s=40.0)  # fmt: skip

    record, seconds = spoiled(how, tiny_cache, config)

    assert record.status is status, record.failure
    assert record.failure is not None
    assert words in record.failure.message
    assert record.failure.phase == "train"
    assert seconds < BOUND_S
    assert not left_behind()


def test_a_run_stopped_for_its_time_leaves_nobody_behind(
    tiny_cache: Path, tiny_config: Callable[..., RunConfig]
) -> None:
    """Processes that all hang are ended with the run when its time is over."""
    config = tiny_config("lora", study="distributed", strategy="ddp", steps=6, packing=True, timeout_s=8.0)

    record, _ = spoiled("all hang", tiny_cache, config)

    assert record.status is Status.TIMEOUT
    assert not left_behind()
