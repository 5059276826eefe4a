"""Real oversubscription: another process holds GPU memory until paged state no longer fits. Only where asked for.

A driver bug can hang the machine under it until it is rebooted (NVIDIA/open-gpu-kernel-modules
#1223). The ballast is therefore a process of its own that ends with this one, at the
deadline, or when it is told to, and gives its memory back however the trainer stands.

Run as `python -m bench.worker.paging.ballast BYTES`: holds them until its input ends.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable

from bench.errors import UnsupportedError
from bench.worker.paging.driver import LIBRARY, open_driver
from bench.worker.paging.pressure import Host, refuse
from bench.worker.paging.room import cgroup_headroom, hmm, ram_available

DEADLINE_S = 120.0
"""Seconds after which the ballast lets go by itself: a step that takes longer is stuck."""

HOLDING = b"holding\n"

CONTEXT_BYTES = 600 << 20
"""About what the ballast's own CUDA context takes on large GPUs; where it takes less, more room is left."""


class Ballast:
    """Leaves room for `paged / ratio` bytes of `paged` ones.

    `settle` brings all of them to the device and waits; `free` returns the device's free bytes then.
    A `Pressure`: cold steps run with the ballast in place, resident steps without it.
    """

    def __init__(
        self,
        paged: int,
        ratio: float,
        free: Callable[[], int],
        settle: Callable[[], None],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._paged, self._room, self._free, self._deadline_s = paged, int(paged / ratio), free, deadline_s
        self._settle = settle
        self._holder: subprocess.Popen[bytes] | None = None
        self._watch: threading.Timer | None = None

    def cold(self) -> int:
        """Take the memory, from a known state. Returns the bytes of paged state for which there is no room."""
        self.warm()
        nbytes = max(0, self._free() + self._paged - self._room - CONTEXT_BYTES)
        command = [sys.executable, "-P", "-m", "bench.worker.paging.ballast", str(nbytes)]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != HOLDING:
            self.release()
            raise UnsupportedError(f"the ballast of {nbytes} bytes was refused by the driver; free GPU memory first.")
        self._watch = threading.Timer(self._deadline_s, self._holder.kill)
        self._watch.daemon = True
        self._watch.start()
        return self._paged - self._room

    def warm(self) -> None:
        """Give the memory back and have all state in place."""
        self.release()
        self._settle()

    def release(self) -> None:
        """Give the memory back."""
        holder, self._holder = self._holder, None
        if self._watch:
            self._watch.cancel()
        if holder and holder.stdin and holder.stdout:
            holder.kill()
            holder.wait()
            holder.stdin.close()
            holder.stdout.close()


def guarded(host: Host, managed: int, ratio: float) -> None:
    """Raise `UnsupportedError` with every reason against oversubscribing here."""
    reasons = refuse(host, managed, ratio, oversubscription=True)
    if reasons:
        raise UnsupportedError("no oversubscription here: " + " ".join(reasons))


def host(device: int, free: int, others: int | None, *, display: bool | None) -> Host:
    """Gather what decides: driver, memory of the host and its limits, neighbours on the GPU."""
    driver = open_driver()
    return Host(
        vram_free=free,
        ram_available=ram_available(),
        cgroup_headroom=cgroup_headroom(),
        concurrent_managed_access=driver.concurrent_managed_access(device),
        host_page_tables=driver.host_page_tables(device),
        other_gpu_processes=others,
        display=display,
        hmm=hmm(),
    )


def hold(nbytes: int, library: str = LIBRARY) -> None:
    """Allocate device memory with the driver alone, say so, and wait for the input's end. Exits 1 where refused."""
    cuda = ctypes.CDLL(library)
    context, address, device = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_int()
    refused = (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        or cuda.cuCtxSetCurrent(context)
        or cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(nbytes))
    )
    if refused:
        sys.exit(1)
    sys.stdout.buffer.write(HOLDING)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    hold(int(sys.argv[1]))
