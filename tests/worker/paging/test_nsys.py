"""Reports of Nsight Systems: tables and columns that may be missing, steps by their ranges."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bench.worker.paging.attribution import attribute
from bench.worker.paging.nsys import read
from bench.worker.paging.uvm import Cause, Kind, Window

COPIES = """
create table CUPTI_ACTIVITY_KIND_MEMCPY
  (start int, "end" int, bytes int, copyKind int, migrationCause int, virtualAddress int);
insert into CUPTI_ACTIVITY_KIND_MEMCPY values
  (10, 20, 4096, 11, 1, 4352), (30, 40, 8192, 12, 4, 9000), (50, 60, 77, 1, null, null);
"""
FAULTS = """
create table CUDA_UM_GPU_PAGE_FAULT_EVENTS
  (start int, "end" int, globalPid int, deviceId int, address int, numberOfPageFaults int, faultAccessType int);
insert into CUDA_UM_GPU_PAGE_FAULT_EVENTS values (12, 18, 1, 0, 4352, 3, 2), (13, null, 1, 1, 4352, 1, null);
create table CUDA_UM_CPU_PAGE_FAULT_EVENTS (start int, address int);
insert into CUDA_UM_CPU_PAGE_FAULT_EVENTS values (70, 4096);
"""
RANGES = """
create table StringIds (id int, value text);
insert into StringIds values (1, 'step:0');
create table NVTX_EVENTS (start int, "end" int, text text, textId int);
insert into NVTX_EVENTS values (0, 25, null, 1), (25, 100, 'step:1', null), (3, 4, 'step:two', null),
  (3, 4, 'upstep:3', null), (3, 4, 'step:4 ', null), (3, null, 'step:5', null), (3, 4, null, null);
"""
KERNELS = """
create table CUPTI_ACTIVITY_KIND_KERNEL (start int, "end" int);
insert into CUPTI_ACTIVITY_KIND_KERNEL values (5, 15), (16, 24);
"""


@pytest.fixture
def report(tmp_path):
    def make(*scripts):
        path = tmp_path / "a report?.sqlite"
        with closing(sqlite3.connect(path)) as base:
            for script in scripts:
                base.executescript(script)
        return path

    return make


def test_a_report_is_a_pass(report):
    """Migrations with cause, faults and steps; ordinary copies and unfinished ranges are not among them."""
    found = read(report(COPIES, FAULTS, RANGES, KERNELS))
    (first, second), outside = attribute(found.records, found.windows, found.kernels)

    assert found.windows == (Window(0, 0, 25), Window(1, 25, 100))
    assert first.counts.bytes == {("htod", Cause.USER): 4096}
    assert second.counts.bytes == {("dtoh", Cause.EVICTION): 8192}
    assert (first.counts.fault_groups, first.fault_ns, first.counts.untimed) == (4, 6, 1)
    assert second.counts.records == {Kind.DTOH: 1, Kind.CPU_FAULT: 1}
    assert first.exposed_ns == 6  # 12..18 the fault, which holds the gap 15..16 between kernels
    assert outside.records == {}
    assert {record.address for record in found.records} == {4352, 9000, 4096}


@pytest.mark.parametrize("scripts", [(), (COPIES,), (FAULTS,), (RANGES,), (KERNELS,)])
def test_a_table_that_was_never_made_is_empty(report, scripts):
    """nsys makes a table when it has something for it."""
    found = read(report("create table META (name text);", *scripts))

    assert len(found.records) == 2 * (COPIES in scripts) + 3 * (FAULTS in scripts)
    assert len(found.windows) == 2 * (RANGES in scripts)
    assert len(found.kernels) == 2 * (KERNELS in scripts)


def test_a_column_that_an_older_nsys_lacks_is_unknown(report):
    """No cause and no address: 0, which is what CUPTI calls unknown."""
    older = """
      create table CUPTI_ACTIVITY_KIND_MEMCPY (start int, "end" int, bytes int, copyKind int);
      insert into CUPTI_ACTIVITY_KIND_MEMCPY values (10, 20, 4096, 11);
      create table NVTX_EVENTS (start int, "end" int, text text);
      insert into NVTX_EVENTS values (0, 25, 'step:7');"""
    found = read(report(older))

    assert [(record.flags, record.address, record.value) for record in found.records] == [(Cause.UNKNOWN, 0, 4096)]
    assert found.windows == (Window(7, 0, 25),)


def test_phases_stand_for_their_step(report):
    """A range around its phases would count everything twice."""
    ranges = """
      create table NVTX_EVENTS (start int, "end" int, text text);
      insert into NVTX_EVENTS values (0, 50, 'step:0'), (0, 20, 'step:0:forward'), (20, 50, 'step:0:optimizer'),
        (60, 90, 'step:1');"""
    found = read(report(ranges))

    assert found.windows == (Window(0, 0, 20, "forward"), Window(0, 20, 50, "optimizer"), Window(1, 60, 90))


def test_a_report_is_only_read(report, tmp_path):
    """No report is no report: none is made."""
    with pytest.raises(sqlite3.Error):
        read(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()
