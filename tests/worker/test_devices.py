"""What the CPU device reports is what a run really used: known allocations, known resident bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.devices.cpu import Cpu, peak_of

MIB = 1024**2


@given(st.lists(st.integers(-1000, 1000)))
def test_the_peak_of_changes_is_the_highest_running_sum(changes):
    """Never below zero, and equal to the largest prefix sum."""
    assert peak_of(changes) == max(0, *(sum(changes[: n + 1]) for n in range(len(changes))), 0)


def test_counted_allocations_are_exact(cpu):
    """Two tensors alive at once and a third after they are gone: the peak is the two, to the byte."""
    with cpu.count_allocations() as counted:
        first = torch.empty(3 * MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first, second
        third = torch.empty(4 * MIB, dtype=torch.uint8)
        del third

    assert counted.peak == 5 * MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a process reset its peak")
def test_the_resident_peak_belongs_to_its_phase(cpu):
    """200 MiB touched and released show in their phase and not in the next one."""
    cpu.reset_peaks()
    before = cpu.peaks()["peak_resident"]
    block = torch.ones(200 * MIB, dtype=torch.uint8)
    during = cpu.peaks()["peak_resident"]
    del block
    cpu.reset_peaks()
    after = cpu.peaks()["peak_resident"]

    assert 200 * MIB <= during - before < 220 * MIB
    assert after < during - 150 * MIB


def test_a_peak_that_cannot_be_reset_is_absent(tmp_path):
    """Where the kernel does not let a peak be reset, no phase is given a peak that may be another's."""
    (tmp_path / "status").write_text("VmHWM:\t  1000 kB\n")
    (tmp_path / "clear_refs").mkdir()  # a folder cannot be written as a file
    device = Cpu(tmp_path)

    device.reset_peaks()

    assert device.peaks() == {}


def test_running_out_of_memory_is_recognised_with_its_size(cpu):
    """An allocation torch really cannot make is a shortage that says how many bytes were asked for."""
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**50, dtype=torch.uint8)

    shortage = cpu.shortage(failed.value)

    assert shortage is not None
    assert shortage.bytes_requested == 2**50
    assert cpu.shortage(RuntimeError("shape mismatch")) is None
    assert cpu.shortage(MemoryError()) is not None
