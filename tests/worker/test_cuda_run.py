"""A whole run on the CUDA device: the real worker and the real NVML binding, against a library of ours and no GPU."""

from __future__ import annotations

import pytest

from bench import cache
from tests.nvml_stub import GIB, H100, Machine

RUN = """
import tempfile
import bench.worker.build as build
from bench.worker.run import run
from pathlib import Path
from bench.schema import Status
from bench.schema.catalogue import Entry
from bench.schema.config import configure
from bench.worker.logbook import Logbook
build.DEVICES = {"cuda": Entry("tests.worker.standin:StandInDevice", "", "")}
config = configure(model="tiny-llama", method="lora", task="addition", device="cuda", packing=True, steps=3)
logbook = Logbook(config, Path(tempfile.mkdtemp(), "phase"))
run(logbook)
record = logbook.record(Status.OK)
say({"metrics": record.metrics, "absent": record.absent, "environment": record.environment})
"""


@pytest.fixture(scope="module")
def metrics(tiny_cache, tmp_path_factory):
    """Metrics of a run on a GPU that tells everything."""
    machine = Machine(tmp_path_factory.mktemp("gpu"))
    return machine.run(RUN, H100, **{cache.VARIABLE: str(tiny_cache)})["metrics"]


def test_every_level_of_memory_is_in_the_record(metrics):
    """Allocated, requested and reserved from the allocator; process and device carried from the end to the peak."""
    assert metrics["train.peak_allocated"] == 3 * GIB
    assert metrics["train.peak_requested"] == 3 * GIB - 4096
    assert metrics["train.peak_reserved"] == 4 * GIB
    assert metrics["train.peak_process"] == 4 * GIB + (9 - 3) * GIB
    assert metrics["train.peak_device"] == 4 * GIB + (10 - 3) * GIB
    assert metrics["train.peak_resident"] > 0


def test_the_peak_is_explained_up_to_the_process(metrics):
    """Categories, allocator slack and what lies outside torch sum to NVML's figure for the process at the peak."""
    parts = ("total", "allocator_slack", "outside_torch")
    assert sum(metrics[f"at_peak.{part}"] for part in parts) == metrics["train.peak_process"]
    assert metrics["at_peak.outside_torch"] == 6 * GIB


def test_clocks_and_heat_are_those_of_the_timed_steps(metrics):
    """The clock is in hertz, degrees are degrees, counters that stood still are 0 seconds."""
    assert metrics["train.sm_clock"] == 1_700_000_000
    assert metrics["train.temperature_start"] == metrics["train.temperature_end"] == 41
    assert metrics["train.throttled_seconds"] == metrics["train.power_cap_seconds"] == 0
    assert metrics["train.allocator_growth"] == metrics["train.allocator_retries"] == 0
    assert metrics["train.foreign_processes"] == 0
    assert metrics["train.clock_reasons_start"] == metrics["train.clock_reasons_end"] == 4


def test_what_nvml_does_not_tell_is_absent_and_the_run_goes_on(tiny_cache, tmp_path):
    """No process list, no energy: the reasons stand in the record, nothing is 0, and all else is measured."""
    facts = {**H100, "gpu0.processes": "4242:1", "gpu0.energy": None, "gpu0.field269": None}

    found = Machine(tmp_path).run(RUN, facts, **{cache.VARIABLE: str(tiny_cache)})

    assert "train.peak_process" not in found["metrics"]
    assert "does not list this process" in found["absent"]["train.peak_process"]
    assert "at_peak.outside_torch" not in found["metrics"]
    assert "train.energy" in found["absent"]
    assert "train.throttled_seconds" in found["absent"]
    assert found["metrics"]["train.peak_device"] == 11 * GIB


def test_without_nvml_the_allocator_still_speaks(tiny_cache, tmp_path):
    """A machine whose NVML does not open gives torch's peaks, and one reason for everything NVML would tell."""
    machine = Machine(tmp_path)
    (tmp_path / "libnvidia-ml.so.1").unlink()

    found = machine.run(RUN, H100, **{cache.VARIABLE: str(tiny_cache)})

    assert found["metrics"]["train.peak_reserved"] == 4 * GIB
    for name in ("train.peak_process", "train.energy", "train.sm_clock"):
        assert "NVML does not open" in found["absent"][name]
