"""Bytes of records: CUPTI's layout both ways, and which fields may be believed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.paging.uvm import ACTIVITY_KIND, CPU, RECORD_BYTES, Access, Cause, Kind, UvmRecord, pack, unpack

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
RECORDS = st.builds(
    UvmRecord, st.integers(-(2**31), 2**31 - 1), U64, U64, U64, U64, source=U32, target=U32, process=U32, flags=U32
)


@given(RECORDS, st.sampled_from(RECORD_BYTES), st.integers(0, 3))
def test_what_is_packed_is_unpacked(record, size, before):
    """Any record, in both sizes, wherever it lies in a buffer."""
    raw = pack(record, size)

    assert len(raw) == size
    assert unpack(b"\xff" * before + raw, before) == record


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        (0, "<i", ACTIVITY_KIND), (4, "<i", 4), (8, "<Q", 11), (16, "<Q", 22), (24, "<Q", 33), (32, "<Q", 44),
        (40, "<I", CPU), (44, "<I", 1), (52, "<I", 77), (56, "<I", 2), (60, "<I", 0),
    ],
)  # fmt: skip
def test_fields_lie_where_the_header_puts_them(offset, layout, value):
    """Offsets of CUpti_ActivityUnifiedMemoryCounter2 in cupti_activity.h."""
    raw = pack(UvmRecord(4, 11, 22, 33, 44, source=CPU, target=1, process=77, flags=2))

    assert struct.unpack_from(layout, raw, offset) == (value,)


def test_a_record_of_another_activity_is_nobodys():
    """A kernel in the same buffer is not taken for a migration."""
    assert unpack(struct.pack("<i", 10) + bytes(100), 0) is None


@pytest.mark.parametrize(
    ("kind", "start", "end", "interval"),
    [
        (Kind.HTOD, 5, 9, (5, 9)), (Kind.GPU_FAULT, 5, 9, (5, 9)), (Kind.THROTTLING, 5, 9, (5, 9)),
        (Kind.DTOD, 5, 9, (5, 9)), (Kind.CPU_FAULT, 5, 9, None), (Kind.THRASHING, 5, 9, None),
        (Kind.REMOTE_MAP, 5, 9, None), (Kind.HTOD, 5, 0, None), (Kind.HTOD, 0, 9, None), (Kind.HTOD, 9, 9, None),
    ],
)  # fmt: skip
def test_an_end_counts_only_where_it_means_something(kind, start, end, interval):
    """The header says that the end of a CPU fault, thrashing and a remote map must be ignored; 0 is not a time."""
    assert UvmRecord(kind, 1, start, end, 0).interval == interval


def test_numbers_are_those_of_nvidias_own_bindings():
    """Layouts and enumerations as cupti-python has them, where it is installed; some have one layout only."""
    cupti = pytest.importorskip("cupti.cupti", reason="an extra oracle: cupti-python", exc_type=ImportError)
    numpy = pytest.importorskip("numpy")
    record = UvmRecord(4, 3, 11, 22, 33, 44, 55, 66, 2)
    names = ("kind", "counter_kind", "value", "start", "end", "address", "src_id", "dst_id", "process_id", "flags_")
    layouts = {size: f"activity_unified_memory_counter{n}_dtype" for size, n in zip(RECORD_BYTES, (2, 3), strict=True)}
    known = {size: getattr(cupti, name) for size, name in layouts.items() if hasattr(cupti, name)}
    longer = {"HTOD": "BYTES_TRANSFER_HTOD", "DTOH": "BYTES_TRANSFER_DTOH", "DTOD": "BYTES_TRANSFER_DTOD",
              "CPU_FAULT": "CPU_PAGE_FAULT_COUNT", "GPU_FAULT": "GPU_PAGE_FAULT"}  # fmt: skip

    assert known
    for size, layout in known.items():
        (theirs,) = numpy.frombuffer(pack(record, size), dtype=layout)
        assert [int(theirs[name]) for name in names] == [25, 4, 3, 11, 22, 33, 44, 55, 66, 2]
    for theirs, ours in (
        (cupti.ActivityUnifiedMemoryCounterKind, Kind),
        (cupti.ActivityUnifiedMemoryMigrationCause, Cause),
        (cupti.ActivityUnifiedMemoryAccessType, Access),
    ):
        assert all(theirs[longer.get(member.name, member.name)].value == member for member in ours)
