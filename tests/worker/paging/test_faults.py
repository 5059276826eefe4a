"""Faults and stalls are the differences of what the system counts; what it does not count is absent, not 0."""

from __future__ import annotations

import mmap
import sys

import pytest

from bench.worker.paging.faults import Faults


def pressure(folder, memory, io):
    folder.mkdir(exist_ok=True)
    for name, full in (("memory", memory), ("io", io)):
        some = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={2 * full + 7}\n"
        (folder / name).write_text(some + f"full avg10=0.00 avg60=0.00 avg300=0.00 total={full}\n")
    return folder


def test_stalls_are_the_growth_of_full_totals_in_seconds(tmp_path):
    """250 ms and 4 ms within the first step, nothing within the second; what is between steps counts for neither."""
    here = pressure(tmp_path / "pressure", 1_000_000, 5_000)
    faults = Faults(here)
    with faults.counted():
        pressure(here, 1_250_000, 9_000)
    pressure(here, 9_000_000, 9_000_000)
    with faults.counted():
        pass

    assert faults.series["step.memory_stall"] == pytest.approx([0.25, 0.0])
    assert faults.series["step.io_stall"] == pytest.approx([0.004, 0.0])
    assert faults.absent == {}


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_a_known_number_of_pages_faults(tmp_path):
    """1,000 fresh pages are 1,000 minor faults and no major one."""
    faults = Faults(tmp_path)
    block = mmap.mmap(-1, 1000 * mmap.PAGESIZE)
    with faults.counted():
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1

    assert 1000 <= faults.series["step.minor_faults"][0] < 1050
    assert faults.series["step.major_faults"] == [0]


def test_a_kernel_without_pressure_gives_reasons_and_no_series(tmp_path):
    """Where there is no such file, or no full total in it, the stall is absent with what is needed."""
    (tmp_path / "memory").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n")
    faults = Faults(tmp_path)
    with faults.counted():
        pass

    assert set(faults.absent) == {"step.memory_stall", "step.io_stall"}
    assert "CONFIG_PSI" in faults.absent["step.io_stall"]
    assert not {"step.memory_stall", "step.io_stall"} & set(faults.series)


def test_a_step_that_fails_leaves_no_value(tmp_path):
    """Series stay as long as the steps that were made."""
    faults = Faults(pressure(tmp_path / "pressure", 0, 0))

    def fail():
        with faults.counted():
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert faults.series == {}
