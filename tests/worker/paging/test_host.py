"""Moving pages out and back moves the bytes it says, checked by the kernel's own account of what is in memory."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UnsupportedError
from bench.worker.paging import host
from bench.worker.paging.host import PAGE, HostPager, Range, leading
from bench.worker.paging.mapped import MappedAdamW
from bench.worker.probes.host import page_faults

linux = pytest.mark.skipif(sys.platform != "linux", reason="paging on request is Linux's")
BLOCK = 2 * 2**20
ODD = 2_000_003
"""Values of a float32 parameter whose last page is not full."""


@pytest.fixture
def stepped(tmp_path):
    """An optimiser with two large parameters that has made a step, so that its state is really there."""
    parameters = [torch.nn.Parameter(torch.ones(ODD)) for _ in range(2)]
    optimizer = MappedAdamW(parameters, lr=1e-3, folder=tmp_path)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    return optimizer


@given(
    sizes=st.lists(st.integers(1, 40 * PAGE), max_size=6),
    fraction=st.floats(0, 1),
)
def test_the_leading_part_is_the_fraction_rounded_up_to_a_page(sizes, fraction):
    """Whole ranges in order, then one cut at a page: never less than asked, less than a page more."""
    ranges = [Range(str(n), n * 2**30, size) for n, size in enumerate(sizes)]
    cut = list(leading(ranges, fraction))
    got, wanted = sum(r.nbytes for r in cut), fraction * sum(sizes)

    assert wanted <= got < wanted + PAGE + 1e-6
    assert [r.nbytes for r in cut[:-1]] == sizes[: max(0, len(cut) - 1)]
    assert all(r.address == whole.address for r, whole in zip(cut, ranges, strict=False))
    assert not cut or cut[-1].nbytes == sizes[len(cut) - 1] or cut[-1].nbytes % PAGE == 0


def mapped_in_memory(folder):
    """Bytes of this process's mapping of a nameless file in `folder` that are in memory, by /proc/self/smaps."""
    maps = Path("/proc/self/smaps").read_text()
    found = re.search(rf"^\S+ rw-s .*{re.escape(str(folder))}/.*\n(?:.*\n)*?Rss:\s+(\d+) kB$", maps, re.MULTILINE)
    return int(found.group(1)) * 1024


@linux
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_exactly_the_fraction_is_moved_out_and_comes_back(stepped, fraction, tmp_path):
    """What is out is the fraction, the rest stays mapped, a touch brings it back, and no value changes.

    All and nothing are exact; between them the kernel may keep the block the cut goes through.
    """
    pager = HostPager(stepped.paged_ranges())
    pager.make_resident()
    before = [stepped.state[p][name].clone() for p in stepped.state for name in ("exp_avg", "exp_avg_sq")]
    total, padded = 4 * ODD * 4, mapped_in_memory(tmp_path)

    moved = pager.move_out(fraction)

    assert pager.paged_bytes() == total
    assert moved == fraction * total if fraction in (0.0, 1.0) else -BLOCK < moved - fraction * total < PAGE
    assert pager.resident_bytes() == total - moved
    room = 5 * PAGE if fraction in (0.0, 1.0) else BLOCK  # smaps counts whole pages
    assert abs(padded - mapped_in_memory(tmp_path) - moved) < room
    after = [stepped.state[p][name] for p in stepped.state for name in ("exp_avg", "exp_avg_sq")]
    assert all(torch.equal(b, a) for b, a in zip(before, after, strict=True))
    assert pager.resident_bytes() == total


def test_neighbouring_ranges_are_one_stretch():
    """Ranges that share no page but leave none between them join; a gap parts them."""
    ranges = [Range("a", 0, PAGE + 1), Range("b", 2 * PAGE, PAGE), Range("c", 3 * PAGE, 5), Range("d", 9 * PAGE, 7)]
    assert host.stretches(ranges) == [(0, 3 * PAGE + 5), (9 * PAGE, 7)]
    assert host.stretches([]) == []


@linux
def test_pages_that_another_processor_touched_last_are_moved_out_too(tmp_path):
    """Thirty times in a row nothing stays behind."""
    for _ in range(30):
        parameter = torch.nn.Parameter(torch.ones(ODD))
        optimizer = MappedAdamW([parameter], folder=tmp_path)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        pager = HostPager(optimizer.paged_ranges())
        assert pager.move_out(1.0) == pager.paged_bytes()


@linux
def test_a_thread_bound_to_a_processor_stays_bound(stepped):
    """Moving visits every processor; afterwards the thread may run where it could before and nowhere else."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    os.sched_setaffinity(0, one)
    try:
        HostPager(stepped.paged_ranges()).move_out(1.0)
        after = os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, allowed)
    assert after == one


@linux
def test_what_leaves_first_is_what_the_step_needs_first(stepped):
    """Half the bytes are the first parameter's two states, not one state of each."""
    pager = HostPager(stepped.paged_ranges())
    pager.move_out(0.5)

    first = HostPager(stepped.paged_ranges()[:2])
    second = HostPager(stepped.paged_ranges()[2:])
    assert first.resident_bytes() < BLOCK
    assert second.resident_bytes() == second.paged_bytes()


@linux
def test_a_touch_of_moved_state_is_a_major_fault_and_of_resident_state_none(stepped):
    """The kernel counts reads from disk after a move, and not one fault of any kind when everything is in place."""
    pager = HostPager(stepped.paged_ranges())
    ranges = pager.ranges

    def touch():
        before = page_faults()
        for r in ranges:
            ctypes.memset(r.address, 0, r.nbytes)
        after = page_faults()
        return after.major - before.major, after.minor - before.minor

    pager.move_out(1.0)
    cold_major, _ = touch()
    pager.move_out(1.0)
    pager.make_resident()
    warm_major, warm_minor = touch()

    assert cold_major >= 1
    assert warm_major == 0
    assert warm_minor <= 8  # the interpreter's own, against 7,816 pages


@linux
def test_a_prefetch_asks_for_everything(stepped):
    """The whole state arrives without a touch, though the kernel cuts one request to its readahead window."""
    pager = HostPager(stepped.paged_ranges())
    pager.move_out(1.0)

    pager.prefetch()

    assert arrived(pager, 0.98)  # readahead is advice: a page may be left out


def arrived(pager, share):
    """Wait, without touching it, for a share of the state; a page counts when it has been read."""
    until = time.monotonic() + 30
    while pager.resident_bytes() < share * pager.paged_bytes() and time.monotonic() < until:
        time.sleep(0.01)
    return pager.resident_bytes() >= share * pager.paged_bytes()


@linux
def test_only_the_prefetch_path_asks_at_the_start_of_a_step(stepped):
    """On the fault path nothing comes back until it is touched."""
    pager = HostPager(stepped.paged_ranges())
    assert pager.move_out(1.0) == pager.paged_bytes()

    with pager.taking("fault") as begin:
        begin()
    time.sleep(0.2)
    after_fault = pager.resident_bytes()
    with pager.taking("prefetch") as begin:
        begin()

    assert after_fault == 0
    assert arrived(pager, 0.5)


@linux
def test_a_refused_call_says_which_and_why():
    """Memory that is not mapped is refused in the system's words, not ignored."""
    with pytest.raises(UnsupportedError, match=r"msync\(4\) of 4096 bytes failed: Cannot allocate memory"):
        HostPager([Range("nowhere", 0, 4096)]).move_out(1.0)


def test_other_systems_are_told_that_paging_is_measured_on_linux(monkeypatch):
    """Building a pager is allowed anywhere; moving is refused with the system's name."""
    host._libc.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    pager = HostPager([Range("state", 4096, 4096)])
    try:
        with pytest.raises(UnsupportedError, match="darwin"):
            pager.move_out(1.0)
    finally:
        host._libc.cache_clear()
    assert pager.paged_bytes() == 4096
