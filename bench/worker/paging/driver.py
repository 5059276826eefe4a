"""The CUDA driver's calls about managed memory, through ctypes. A context must be current, as torch leaves one.

Signatures and numbers: cuda.h of CUDA 13.0; `cuMemPrefetchAsync_v2` exists since 12.2.
"""

from __future__ import annotations

import ctypes
from typing import Any

LIBRARY = "libcuda.so.1"

ATTACH_GLOBAL = 1
CONCURRENT_MANAGED_ACCESS = 89
HOST_PAGE_TABLES = 100
ON_DEVICE, ON_HOST = 1, 2
OLD_HOST = -1


class DriverRefusalError(Exception):
    """The CUDA driver is absent or refused a call; the message says which call and the driver's own name for it."""


class Location(ctypes.Structure):
    """CUmemLocation, passed by value."""

    _fields_ = (("type", ctypes.c_int), ("id", ctypes.c_int))


ARGUMENTS: dict[str, list[Any]] = {
    "cuDeviceGet": [ctypes.POINTER(ctypes.c_int), ctypes.c_int],
    "cuDeviceGetAttribute": [ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int],
    "cuMemAllocManaged": [ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t, ctypes.c_uint],
    "cuMemFree_v2": [ctypes.c_uint64],
    "cuCtxSynchronize": [],
    "cuGetErrorName": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
}
NEW_PREFETCH = [ctypes.c_uint64, ctypes.c_size_t, Location, ctypes.c_uint, ctypes.c_void_p]
OLD_PREFETCH = [ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]


def open_driver(library: str = LIBRARY) -> Driver:
    """Load the driver, or find it loaded. Raises `DriverRefusalError` where there is none."""
    try:
        return Driver(ctypes.CDLL(library))
    except (OSError, AttributeError) as error:
        raise DriverRefusalError(f"no usable {LIBRARY}: {error}. Install NVIDIA's driver.") from error


class Driver:
    """Moves pages of managed memory, makes some, and says what a GPU can do with them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._calls: dict[str, Any] = {name: getattr(library, name) for name in ARGUMENTS}
        self._new = hasattr(library, "cuMemPrefetchAsync_v2")
        prefetch = library.cuMemPrefetchAsync_v2 if self._new else library.cuMemPrefetchAsync
        self._calls["cuMemPrefetchAsync"] = prefetch
        for name, call in self._calls.items():
            call.argtypes = ARGUMENTS.get(name, NEW_PREFETCH if self._new else OLD_PREFETCH)
            call.restype = ctypes.c_int

    def _do(self, name: str, *arguments: Any) -> None:
        code = self._calls[name](*arguments)
        if code:
            said = ctypes.c_char_p()
            self._calls["cuGetErrorName"](code, ctypes.byref(said))
            raise DriverRefusalError(f"{name} answered {code} ({(said.value or b'unknown').decode()}).")

    def prefetch(self, address: int, size: int, device: int | None) -> None:
        """Queue the move of `size` bytes to a GPU, or to the host for None, on the legacy default stream."""
        if self._new:
            place = Location(ON_HOST, 0) if device is None else Location(ON_DEVICE, device)
            self._do("cuMemPrefetchAsync", address, size, place, 0, None)
        else:
            self._do("cuMemPrefetchAsync", address, size, OLD_HOST if device is None else self._handle(device), None)

    def synchronize(self) -> None:
        """Wait for everything queued on the current context."""
        self._do("cuCtxSynchronize")

    def allocate_managed(self, size: int) -> int:
        """Return the address of `size` bytes of managed memory; the caller frees it."""
        found = ctypes.c_uint64()
        self._do("cuMemAllocManaged", ctypes.byref(found), size, ATTACH_GLOBAL)
        return found.value

    def free(self, address: int) -> None:
        """Free managed memory."""
        self._do("cuMemFree_v2", address)

    def concurrent_managed_access(self, device: int) -> bool:
        """Tell whether pages move on demand; false on Windows and WSL, where nothing is paged."""
        return self._attribute(CONCURRENT_MANAGED_ACCESS, device) == 1

    def host_page_tables(self, device: int) -> bool:
        """Tell whether the GPU walks the host's page tables (Grace Hopper), where faults mean something else."""
        return self._attribute(HOST_PAGE_TABLES, device) == 1

    def _attribute(self, number: int, device: int) -> int:
        found = ctypes.c_int()
        self._do("cuDeviceGetAttribute", ctypes.byref(found), number, self._handle(device))
        return found.value

    def _handle(self, device: int) -> int:
        found = ctypes.c_int()
        self._do("cuDeviceGet", ctypes.byref(found), device)
        return found.value
