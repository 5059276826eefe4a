"""Host memory is told to the page: what a process touched, what it faulted in, what it read from a disk."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.worker.probes import metered
from bench.worker.probes.host import Faults, HostMemory, page_faults

MIB = 1024**2
PAGE = mmap.PAGESIZE
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux has /proc/self/clear_refs")

TOUCH = """
import mmap, sys
from bench.worker.probes import metered
from bench.worker.probes.host import HostMemory
size = int(sys.argv[1])
meter = HostMemory()
with metered([meter]): pass  # what Python loads on first use is not counted below
with metered([meter]) as before: pass
with metered([meter]) as window:
    block = mmap.mmap(-1, size)
    block.madvise(mmap.MADV_NOHUGEPAGE)
    for place in range(0, size, mmap.PAGESIZE):
        block[place] = 1
    block.close()
with metered([meter]) as after: pass
for w in (before, window, after):
    print(w.values["minor_faults"], w.values["major_faults"], w.values["peak_resident"], w.values["swap_growth"])
"""


def touching(size: int) -> list[list[int]]:
    """Touch every page of `size` bytes in a process of its own; its readings before, during and after."""
    command = [sys.executable, "-c", TOUCH, str(size)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout
    return [[int(number) for number in line.split()] for line in said.splitlines()]


@linux
@pytest.mark.skipif(not hasattr(mmap, "MADV_NOHUGEPAGE"), reason="huge pages cannot be refused here")
def test_touched_pages_are_counted_one_by_one():
    """300 MiB touched are 76,800 minor faults of 4 KiB, and at most fifty of the interpreter's own."""
    before, window, after = touching(300 * MIB)
    pages = 300 * MIB // PAGE

    assert pages <= window[0] <= pages + 50
    assert before[0] <= 50
    assert after[0] <= 50


@linux
def test_the_peak_is_that_of_its_window():
    """300 MiB touched and released raise the peak by 300 MiB, in their window and not in the next one."""
    before, window, after = touching(300 * MIB)

    assert 297 * MIB <= window[2] - before[2] <= 306 * MIB
    assert after[2] <= before[2] + 6 * MIB


@linux
@pytest.mark.skipif(not hasattr(mmap, "MADV_RANDOM"), reason="reading ahead cannot be refused here")
def test_pages_read_from_a_disk_are_major_faults(tmp_path):
    """Each page of a file that is not in memory is one major fault when it is touched, without reading ahead."""
    pages = 256
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(os.urandom(pages * PAGE))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped.madvise(mmap.MADV_RANDOM)
        if resident_pages(mapped):
            pytest.skip("this file's pages stay in memory: there is no disk below it (tmpfs)")
        with metered([HostMemory()]) as window:
            for place in range(0, len(mapped), PAGE):
                mapped[place]
        assert resident_pages(mapped) == pages

    assert pages <= window.values["major_faults"] <= pages + 20


def resident_pages(mapped: mmap.mmap) -> int:
    """Count the pages of a mapping that are in memory (`man mincore`)."""
    states = (ctypes.c_ubyte * (len(mapped) // PAGE))()
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    refused = ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), states)
    assert not refused
    return sum(state & 1 for state in states)


def test_swap_and_faults_are_differences(tmp_path):
    """What a process had before a window is not the window's; swap that shrank is a negative growth."""
    counts = iter([Faults(100, 7), Faults(130, 9)])
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   900 kB\nVmSwap:\t    50 kB\n")
    with metered([HostMemory(tmp_path, lambda: next(counts))]) as window:
        assert (tmp_path / "clear_refs").read_text() == "5"
        (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t  1000 kB\nVmSwap:\t    20 kB\n")

    assert window.values == {
        "minor_faults": 30,
        "major_faults": 2,
        "peak_resident": 1000 * 1024,
        "swap_growth": -30 * 1024,
    }
    assert window.absent == {}


def test_a_peak_that_cannot_be_reset_is_absent(tmp_path):
    """Where the kernel does not let a peak be reset, no window is given a peak that may be another's."""
    (tmp_path / "status").write_text("VmHWM:\t  1000 kB\nVmSwap:\t 0 kB\n")
    (tmp_path / "clear_refs").mkdir()  # a folder cannot be written as a file

    with metered([HostMemory(tmp_path)]) as window:
        pass

    assert "peak_resident" not in window.values
    assert "cannot be reset" in window.absent["peak_resident"]
    assert "Is a directory" in window.absent["peak_resident"]
    assert window.values["swap_growth"] == 0


def test_a_system_that_tells_nothing_is_given_reasons(tmp_path):
    """Without /proc and getrusage every number is absent with its own reason, and none is 0."""
    with metered([HostMemory(tmp_path / "nowhere", lambda: None)]) as window:
        pass

    assert window.values == {}
    assert set(window.absent) == {"minor_faults", "major_faults", "peak_resident", "swap_growth"}
    assert "getrusage" in window.absent["minor_faults"]
    assert "VmSwap" in window.absent["swap_growth"]
    assert all(str(tmp_path) not in reason for reason in window.absent.values())


def test_a_kernel_without_swap_or_peak_says_so(tmp_path):
    """A status file that lacks a line leaves its number absent, the others stay."""
    (tmp_path / "status").write_text("VmRSS:\t  1000 kB\n")
    with metered([HostMemory(tmp_path)]) as window:
        pass

    assert "VmHWM" in window.absent["peak_resident"]
    assert "VmSwap" in window.absent["swap_growth"]
    assert set(window.values) == {"minor_faults", "major_faults"}


def test_a_meter_may_be_started_again(tmp_path):
    """A window after one whose peak could not be reset has its peak again."""
    (tmp_path / "status").write_text("VmHWM:\t  1000 kB\nVmSwap:\t 0 kB\n")
    (tmp_path / "clear_refs").mkdir()
    meter = HostMemory(tmp_path)
    with metered([meter]):
        pass
    (tmp_path / "clear_refs").rmdir()
    with metered([meter]) as window:
        pass

    assert window.values["peak_resident"] == 1000 * 1024


@linux
def test_faults_are_those_of_the_process():
    """The kernel's own count of this process's faults (/proc/self/stat, fields 10 and 12) lies between two readings."""
    first = page_faults()
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    second = page_faults()

    assert first is not None
    assert second is not None
    assert first.minor <= int(fields[7]) <= second.minor
    assert first.major <= int(fields[9]) <= second.major
