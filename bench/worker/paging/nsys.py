"""The same records out of NVIDIA Nsight Systems: `nsys export -t sqlite`.

Recorded with `nsys profile -t cuda,nvtx --cuda-um-cpu-page-faults=true
--cuda-um-gpu-page-faults=true`, steps marked by NVTX ranges "step:3", or "step:3:optimizer"
for a phase. Tables and columns: "SQLite schema reference" of the Nsight Systems manual;
copy kinds as in the report script um_sum that comes with it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.worker.paging.intervals import Interval
from bench.worker.paging.uvm import Kind, UvmRecord, Window

COPY_KINDS = {11: Kind.HTOD, 12: Kind.DTOH}
STEP = re.compile(r"step:(\d+)(?::(\w+))?")


@dataclass(frozen=True, slots=True)
class NsysTrace:
    """Records, windows and kernels on the report's own clock."""

    records: tuple[UvmRecord, ...]
    windows: tuple[Window, ...]
    kernels: tuple[Interval, ...]


def read(path: Path) -> NsysTrace:
    """Read a report of one process. What it has no table or column for is empty or 0. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as base:
        records = [*_migrations(base), *_gpu_faults(base), *_cpu_faults(base)]
        kernels = _rows(base, "CUPTI_ACTIVITY_KIND_KERNEL", "start", "end")
        return NsysTrace(
            tuple(records), tuple(_windows(base)), tuple((kernel["start"], kernel["end"]) for kernel in kernels)
        )


def _rows(base: sqlite3.Connection, table: str, *columns: str) -> list[Mapping[str, Any]]:
    """Read columns of a table; nsys creates both only when it has something for them. Absent or null: 0."""
    present = {row[1] for row in base.execute(f"pragma table_info({table})")}
    if not present:
        return []
    wanted = ", ".join(f'coalesce("{name}", 0)' if name in present else "0" for name in columns)
    return [dict(zip(columns, row, strict=True)) for row in base.execute(f"select {wanted} from {table}")]  # noqa: S608


def _migrations(base: sqlite3.Connection) -> list[UvmRecord]:
    names = ("copyKind", "bytes", "start", "end", "virtualAddress", "migrationCause")
    return [
        UvmRecord(
            COPY_KINDS[row["copyKind"]], row["bytes"], row["start"], row["end"], row["virtualAddress"],
            flags=row["migrationCause"],
        )
        for row in _rows(base, "CUPTI_ACTIVITY_KIND_MEMCPY", *names)
        if row["copyKind"] in COPY_KINDS
    ]  # fmt: skip


def _gpu_faults(base: sqlite3.Connection) -> list[UvmRecord]:
    names = ("numberOfPageFaults", "start", "end", "address", "deviceId", "faultAccessType")
    return [
        UvmRecord(
            Kind.GPU_FAULT, row["numberOfPageFaults"], row["start"], row["end"], row["address"],
            source=row["deviceId"], flags=row["faultAccessType"],
        )
        for row in _rows(base, "CUDA_UM_GPU_PAGE_FAULT_EVENTS", *names)
    ]  # fmt: skip


def _cpu_faults(base: sqlite3.Connection) -> list[UvmRecord]:
    rows = _rows(base, "CUDA_UM_CPU_PAGE_FAULT_EVENTS", "start", "address")
    return [UvmRecord(Kind.CPU_FAULT, 0, row["start"], 0, row["address"]) for row in rows]


def _windows(base: sqlite3.Connection) -> list[Window]:
    """Read the steps. Where a step has phases, they stand for it."""
    names = {row["id"]: row["value"] for row in _rows(base, "StringIds", "id", "value")}
    found = []
    for row in _rows(base, "NVTX_EVENTS", "start", "end", "text", "textId"):
        marked = STEP.fullmatch(str(row["text"] or names.get(row["textId"], "")))
        if marked and row["end"]:
            found.append(Window(int(marked[1]), row["start"], row["end"], marked[2] or "step"))
    phased = {window.index for window in found if window.phase != "step"}
    kept = (window for window in found if window.phase != "step" or window.index not in phased)
    return sorted(kept, key=lambda window: window.start)
