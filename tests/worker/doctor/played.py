"""The counted part of the hardware check, played on the stub libraries; prints its answer as JSON.

Run as `python -m tests.worker.doctor.played CUPTI CUDA`.
"""

from __future__ import annotations

import ctypes
import json
import sys
from types import SimpleNamespace

from bench.worker.doctor import experiment, hardware
from bench.worker.paging import driver


class Managed:
    """A piece of the stub's managed memory."""

    def __init__(self, address: int, nbytes: int) -> None:
        self._address, self.nbytes = address, nbytes

    def data_ptr(self) -> int:
        return self._address


def paged_bench() -> experiment.Bench:
    """State of 12 MiB that every step brings back, as bitsandbytes' prefetch does."""
    calls = driver.open_driver(sys.argv[2])
    state = [Managed(calls.allocate_managed(size), size) for size in (8 << 20, 4 << 20)]

    def step() -> None:
        for one in state:
            calls.prefetch(one.data_ptr(), one.nbytes, 0)
        calls.synchronize()

    return experiment.Bench(step, calls.synchronize, lambda: state, calls, lambda: None)


ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
opened = driver.open_driver(sys.argv[2])
hardware.driver = SimpleNamespace(open_driver=lambda: opened)
hardware.torch = SimpleNamespace(cuda=SimpleNamespace(init=lambda: None, synchronize=lambda: None))
experiment.paged_bench = paged_bench
print(json.dumps(hardware.answer("counted")))
