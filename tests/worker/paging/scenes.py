"""What the tests have real ctypes code do in a process of its own, against a library of their choice.

Run as `python -m tests.worker.paging.scenes SCENE LIBRARY...`; prints one JSON value.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.worker.paging import canary, cupti, pressure, recording, summary
from bench.worker.paging.attribution import Range
from bench.worker.paging.driver import open_driver
from bench.worker.paging.session import UvmSession
from bench.worker.paging.uvm import RECORD_BYTES, Access, Kind, UvmRecord, pack, unpack

MIB = 1 << 20
SMALL = {"buffer_bytes": 1 << 12, "settle_seconds": 0.0, "deadline_seconds": 60.0}


class Tensor:
    """A piece of managed memory."""

    def __init__(self, address: int, nbytes: int) -> None:
        self._address, self.nbytes = address, nbytes

    def data_ptr(self) -> int:
        return self._address


def opened(path: str) -> tuple[Any, cupti.Libcupti]:
    """Load a library as torch would have, then find it among those that are mapped."""
    stub = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return stub, cupti.open_mapped()


def fabricated(number: int) -> list[UvmRecord]:
    """Records of every kind, all fields different."""
    return [
        UvmRecord(1 + i % 8, 10 + i, 1000 * i + 1, 1000 * i + 500, 0x7F0000000000 + i * 4096, i, 7 + i, 3 + i, i % 6)
        for i in range(number)
    ]


def parse(path: str) -> Any:
    """Have the library's own parser read buffers with records of both sizes, then try to start."""
    _, library = opened(path)
    records = fabricated(50)
    found: dict[str, Any] = {"api": library.version()}
    for size in RECORD_BYTES:
        raw = b"".join(pack(record, size) for record in records)
        code, offsets = library.offsets(raw)
        found[str(size)] = {
            "code": code, "offsets": offsets, "same": [unpack(raw, offset) for offset in offsets] == records,
        }  # fmt: skip
    try:
        UvmSession(library).start()
    except cupti.CountersUnavailableError as error:
        found["refused"] = str(error)
    return found


def start(path: str) -> Any:
    """Try to start, after another profiler if STUB_OTHER_CLIENT is set, and say what is still on afterwards."""
    stub, library = opened(path)
    if "STUB_OTHER_CLIENT" in os.environ:
        stub.stub_other_client()
    session = UvmSession(library, **SMALL)
    try:
        session.start()
    except cupti.CountersUnavailableError as error:
        return {"code": error.code, "why": str(error), "still_on": stub.stub_still_on()}
    while_on, configured = stub.stub_still_on(), stub.stub_configured()
    capture = session.stop()
    return {
        "while_on": while_on, "still_on": stub.stub_still_on(), "configured": configured, "faults": capture.faults,
    }  # fmt: skip


def deliver(path: str) -> Any:
    """Emit $RECORDS records in a session with buffers of 4 KiB; return what arrived and what is known to be lost."""
    stub, library = opened(path)
    session = UvmSession(library, most_bytes=int(os.environ.get("MOST_BYTES", "1048576")), **SMALL)
    records = fabricated(int(os.environ.get("RECORDS", "100")))
    session.start()
    with session.window(0):
        for number, record in enumerate(records):
            if "DELIVER_EARLY" in os.environ and number == len(records) // 2:
                stub.stub_deliver()
            stub.stub_emit(pack(record, 64))
    capture = session.stop()
    losses = capture.losses
    return {
        "arrived": len(capture.records()), "same": capture.records() == records, "buffers": len(capture.buffers),
        "losses": [losses.dropped, losses.foreign, losses.unreturned, losses.over_limit],
        "faults": capture.faults, "still_on": stub.stub_still_on(),
    }  # fmt: skip


def late_request(path: str) -> Any:
    """Have CUPTI ask for a buffer after the session is over."""
    stub, library = opened(path)
    session = UvmSession(library, **SMALL)
    session.start()
    stub.stub_emit(pack(fabricated(1)[0], 64))
    capture = session.stop()
    library.enable()
    stub.stub_emit(pack(fabricated(1)[0], 64))
    stub.stub_deliver()
    return {"arrived": len(capture.records()), "dropped": library.dropped()}


def deadlock(path: str) -> Any:
    """Wait, holding the GIL, for a callback that needs it."""
    stub, library = opened(path)
    session = UvmSession(library, **{**SMALL, "deadline_seconds": 1.0})
    session.start()
    stub.stub_emit(pack(fabricated(1)[0], 64))
    ctypes.PyDLL(path).stub_deliver()


def quiet_watchdog(path: str) -> Any:
    """Outlive the deadline once the session is over, or was refused."""
    _, library = opened(path)
    session = UvmSession(library, **{**SMALL, "deadline_seconds": 0.5})
    try:
        session.start()
        session.stop()
    except cupti.CountersUnavailableError:
        pass
    time.sleep(1.0)
    return "alive"


def two_copies(first: str, second: str) -> Any:
    """Look for libcupti in a process that holds two."""
    ctypes.CDLL(first)
    ctypes.CDLL(second)
    try:
        cupti.open_mapped()
    except cupti.CountersUnavailableError as error:
        return str(error)
    return None


def prefetch(path: str) -> Any:
    """Make, move and free managed memory, and ask what the two GPUs can do."""
    driver = open_driver(path)
    address = driver.allocate_managed(4 * MIB)
    driver.prefetch(address, 4096, None)
    driver.prefetch(address, 8192, 1)
    driver.synchronize()
    driver.free(address)
    abilities = [(driver.concurrent_managed_access(n), driver.host_page_tables(n)) for n in (0, 1)]
    try:
        driver.concurrent_managed_access(2)
    except Exception as error:
        refused = f"{type(error).__name__}: {error}"
    return {"said": said(path), "abilities": abilities, "refused": refused}


def whole_pass(cupti_path: str, cuda_path: str) -> Any:
    """A counted pass as a suite makes it: canary, first step, resident control, cold steps; read back from its file."""
    stub, library = opened(cupti_path)
    driver = open_driver(cuda_path)
    session = UvmSession(library, **SMALL)
    session.start()
    canary.count_known_bytes(session, driver, 0)
    tensors = [Tensor(driver.allocate_managed(size), size) for size in (6 * MIB, 5 * MIB, MIB // 2)]
    sent: dict[int, int] = {}
    for index, fraction in enumerate((None, 0.0, 0.5, 1.0, 0.0)):
        if fraction is not None:
            sent[index] = pressure.chill(tensors, fraction, driver)
        with session.window(index, "forward"):
            driver.synchronize()
        with session.window(index, "optimizer"):
            for tensor in tensors:
                driver.prefetch(tensor.data_ptr(), tensor.nbytes, 0)
                if sent.get(index):
                    fault(stub, library, tensor.data_ptr())
            driver.synchronize()
    capture = session.stop()
    owners = tuple(Range(one.data_ptr(), one.nbytes, f"state{number}") for number, one in enumerate(tensors))
    text = recording.encode(recording.Recording(capture, sent, owners, {"gpu": "none"}))
    found = summary.summarize(recording.decode(text))
    return {
        "level": found.verdict.level, "reasons": found.verdict.reasons, "sent": sent, "series": found.series,
        "values": found.reading.values, "absent": found.reading.absent, "phases": len(found.phases),
        "owners": {f"{owner} {way}": size for (owner, way), size in found.owners.items()},
        "still_allocated": said(cuda_path).count("cuMemAllocManaged()") - said(cuda_path).count("cuMemFree_v2()"),
        "outside_dtoh": found.outside.moved("dtoh"), "outside_htod": found.outside.moved("htod"),
    }  # fmt: skip


def said(path: str) -> list[str]:
    """Return what the driver was asked to do, a line a call."""
    telling = ctypes.CDLL(path).stub_said
    telling.restype = ctypes.c_char_p
    return str(telling().decode()).splitlines()


def fault(stub: Any, library: cupti.Libcupti, address: int) -> None:
    """Report a GPU fault served now."""
    now = library.now()
    stub.stub_emit(pack(UvmRecord(Kind.GPU_FAULT, 3, now, now + 1, address, flags=Access.WRITE), 64))


SCENES: dict[str, Callable[..., Any]] = {
    scene.__name__: scene
    for scene in (
        parse, start, deliver, late_request, deadlock, quiet_watchdog, two_copies, prefetch, whole_pass,
    )
}  # fmt: skip

if __name__ == "__main__":
    answer = SCENES[sys.argv[1]](*map(str, map(Path, sys.argv[2:])))
    print(json.dumps(answer))
