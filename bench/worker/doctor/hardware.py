"""The one-call check of a GPU: does what we know only from reading hold on this card?

Each part runs in a process of its own, since CUPTI, managed memory and a context once made
cannot be undone. Managed memory never exceeds what is free on the card. What a part brings
back is raw enough to be read again without a GPU.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench import nvml
from bench.nvml import Absent
from bench.worker.doctor import experiment
from bench.worker.paging import cupti, driver
from bench.worker.paging.canary import count_known_bytes
from bench.worker.paging.recording import Recording, encode
from bench.worker.paging.session import UvmSession
from bench.worker.paging.summary import summarize

FIELDS = (74, 185, 186, 197, 198, 251, 252, 253, 269, 270, 271)
"""Field values a run may read: power cap, average and instant power, PCIe bytes, and both numberings of slowdowns."""

POLL_S = 3.0
MANAGED_BYTES = 256 << 20


def answer(part: str) -> dict[str, Any]:
    """Run a part; what goes wrong is its answer."""
    start = time.perf_counter()
    try:
        found = PARTS[part]()
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": time.perf_counter() - start}


def card() -> dict[str, Any]:
    """What NVML tells of the card: fields, the energy counter's pace, managed memory in its figures."""
    found = nvml.find()
    if isinstance(found, Absent):
        return {"absent": found.reason}
    fields = found.fields(FIELDS)
    return {
        "fields": {str(number): _shown(value) for number, value in fields.items()},
        "energy_steps": energy_steps(lambda: found.read("nvmlDeviceGetTotalEnergyConsumption")),
        "managed_in_figures": managed_in_figures(found),
    }


def _shown(value: object) -> object:
    return {"absent": value.reason} if isinstance(value, Absent) else value


def energy_steps(read: Callable[[], int | Absent], seconds: float = POLL_S) -> dict[str, Any]:
    """Poll the energy counter and return the seconds between its changes, which are its update period."""
    changes: list[float] = []
    start = time.perf_counter()
    last = read()
    if isinstance(last, Absent):
        return {"absent": last.reason}
    while (now := time.perf_counter()) - start < seconds:
        value = read()
        if not isinstance(value, Absent) and value != last:
            changes.append(now - start)
            last = value
    return {"changed_after_seconds": changes}


def managed_in_figures(found: nvml.Card) -> dict[str, Any]:
    """Bring managed memory to the device and see which of NVML's figures grow by it; bytes."""
    torch.zeros(1, device="cuda:0")
    calls = driver.open_driver()
    before = _figures(found)
    address = calls.allocate_managed(MANAGED_BYTES)
    try:
        calls.prefetch(address, MANAGED_BYTES, 0)
        calls.synchronize()
        return {"managed": MANAGED_BYTES, "before": before, "after": _figures(found)}
    finally:
        calls.free(address)


def _figures(found: nvml.Card) -> dict[str, Any]:
    memory, listed = found.memory(), found.listing()
    free, total = torch.cuda.mem_get_info()
    return {
        "device_used": _shown(memory if isinstance(memory, Absent) else memory.used),
        "process_used": _shown(listed if isinstance(listed, Absent) else _shown(listed.own)),
        "cuda_free": free,
        "cuda_total": total,
    }


def counters_early() -> dict[str, Any]:
    """Attach the counters before the context exists; do they see a known answer?"""
    return _canary(context_first=False)


def counters_late() -> dict[str, Any]:
    """Attach the counters after the context exists; do they see a known answer?"""
    return _canary(context_first=True)


def _canary(*, context_first: bool) -> dict[str, Any]:
    torch.cuda.init()  # type: ignore[no-untyped-call]
    if context_first:
        torch.zeros(1, device="cuda:0")
    session = UvmSession(cupti.open_mapped())
    session.start()
    torch.zeros(1, device="cuda:0")
    try:
        count_known_bytes(session, driver.open_driver(), 0)
    finally:
        torch.cuda.synchronize()
        capture = session.stop()
    return _kept(Recording(capture, {}))


def bare() -> dict[str, Any]:
    """Steps of a paged optimiser, cold and resident, without counters: the times that count."""
    return {"steps": experiment.steps(experiment.paged_bench(), None)}


def counted() -> dict[str, Any]:
    """The same steps with the counters on: what moved, why, whose it was; and what counting costs."""
    torch.cuda.init()  # type: ignore[no-untyped-call]
    session = UvmSession(cupti.open_mapped())
    session.start()
    try:
        bench = experiment.paged_bench()
        count_known_bytes(session, driver.open_driver(), 0)
        made = experiment.steps(bench, session)
    finally:
        torch.cuda.synchronize()
        capture = session.stop()
    sent = {step["index"]: step["sent"] for step in made if step["index"] > 0}
    return {"steps": made, **_kept(Recording(capture, sent, tuple(bench.owners())))}


def _kept(recording: Recording) -> dict[str, Any]:
    found = summarize(recording)
    return {
        "verdict": found.verdict.level.value,
        "reasons": list(found.verdict.reasons),
        "numbers": dict(found.reading.values),
        "recording": base64.b64encode(encode(recording)).decode(),
    }


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "card": card,
    "counters_early": counters_early,
    "counters_late": counters_late,
    "bare": bare,
    "counted": counted,
}
