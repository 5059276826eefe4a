"""A known answer for the counters: eight mebibytes that must be seen to move."""

from __future__ import annotations

import ctypes

from bench.worker.paging.driver import Driver
from bench.worker.paging.session import UvmSession

CANARY_BYTES = 8 << 20
CANARY = -1
"""Index of the canary's window; steps count from 0."""


def count_known_bytes(session: UvmSession, driver: Driver, device: int, size: int = CANARY_BYTES) -> None:
    """Write managed memory on the host, then move it to the GPU, in a window of its own.

    Raises `DriverRefusalError`.
    """
    address = driver.allocate_managed(size)
    try:
        ctypes.memset(address, 1, size)
        with session.window(CANARY, "canary"):
            driver.prefetch(address, size, device)
            driver.synchronize()
    finally:
        driver.free(address)
