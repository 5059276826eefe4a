"""The one libcupti of this process, through ctypes: the calls that the unified-memory counters need.

torch's own copy is used, because a second copy in a process would be a second CUPTI.
Signatures: cupti_activity.h, cupti_callbacks.h, cupti_result.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.worker.paging.uvm import ACTIVITY_KIND

SUCCESS, END_OF_BUFFER = 0, 12

REFUSALS = {
    15: "CUDA is not initialised; call torch.cuda.init() first",
    28: "not supported by this system: no Linux, or a container without /dev/nvidia-uvm-tools; give it that device",
    29: "not supported by this GPU",
    30: "several visible GPUs without peer access; set CUDA_VISIBLE_DEVICES to one",
    31: "not supported under MPS; stop the MPS server for this measurement",
    33: "not supported on a virtual GPU",
    35: "not enough privileges; the administrator can allow it, see NVIDIA's ERR_NVGPUCTRPERM",
    39: "another profiler holds CUPTI (torch.profiler, nsys, ncu, a sanitizer, a debugger); measure without it",
    40: "not enough privileges on this virtual GPU",
}
"""What cupti_result.h's codes mean for a user, and what to do."""

REQUEST = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)
COMPLETE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t
)  # fmt: skip
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)


class CountersUnavailableError(Exception):
    """The counters cannot be had here; the message is the reason, `code` CUPTI's where it gave one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class Config(ctypes.Structure):
    """CUpti_ActivityUnifiedMemoryCounterConfig: scope and device have been ignored since CUDA 7.0."""

    _fields_ = (
        ("scope", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("device", ctypes.c_uint32),
        ("enable", ctypes.c_uint32),
    )


ALL_DEVICES = 2

ARGUMENTS: dict[str, list[Any]] = {
    "cuptiGetVersion": [ctypes.POINTER(ctypes.c_uint32)],
    "cuptiGetTimestamp": [ctypes.POINTER(ctypes.c_uint64)],
    "cuptiSubscribe": [ctypes.POINTER(ctypes.c_void_p), CALLBACK, ctypes.c_void_p],
    "cuptiUnsubscribe": [ctypes.c_void_p],
    "cuptiActivityRegisterCallbacks": [REQUEST, COMPLETE],
    "cuptiActivityConfigureUnifiedMemoryCounter": [ctypes.POINTER(Config), ctypes.c_uint32],
    "cuptiActivityEnable": [ctypes.c_int],
    "cuptiActivityDisable": [ctypes.c_int],
    "cuptiActivityFlushAll": [ctypes.c_uint32],
    "cuptiActivityGetNextRecord": [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)],
    "cuptiActivityGetNumDroppedRecords": [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_size_t)],
}


def mapped(maps: Path = Path("/proc/self/maps")) -> list[str]:
    """Return the path of every libcupti in this process; one file is listed once, under whatever names it came."""
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return []
    found: dict[tuple[str, str], str] = {}
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and Path(fields[5]).name.startswith("libcupti.so"):
            found.setdefault((fields[3], fields[4]), fields[5])
    return list(found.values())


def open_mapped(maps: Path = Path("/proc/self/maps")) -> Libcupti:
    """Bind the libcupti that this process already uses. Raises `CountersUnavailableError`."""
    found = mapped(maps)
    if not found:
        raise CountersUnavailableError("no libcupti in this process: this torch was built without CUDA's profiler.")
    if len(found) > 1:
        raise CountersUnavailableError(
            f"{len(found)} copies of libcupti in this process; they do not see each other. Keep torch's alone."
        )
    try:
        return Libcupti(ctypes.CDLL(found[0], mode=os.RTLD_NOLOAD | os.RTLD_NOW))
    except (OSError, AttributeError) as error:
        raise CountersUnavailableError(f"libcupti cannot be used: {type(error).__name__}; reinstall torch.") from error


class Libcupti:
    """Typed calls. `CountersUnavailableError` for a code that is not success, unless a method returns codes."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._calls = {name: getattr(library, name) for name in ARGUMENTS}
        for name, arguments in ARGUMENTS.items():
            self._calls[name].argtypes = arguments
            self._calls[name].restype = ctypes.c_int

    def _do(self, name: str, *arguments: Any) -> None:
        code = self._calls[name](*arguments)
        if code != SUCCESS:
            reason = REFUSALS.get(code, "see cupti_result.h")
            raise CountersUnavailableError(f"{name} answered {code}: {reason}.", code)

    def version(self) -> int:
        """Return the API version: 24 is CUDA 12.6, 26 is 12.8, 130001 is 13.0 update 1."""
        found = ctypes.c_uint32()
        self._do("cuptiGetVersion", ctypes.byref(found))
        return found.value

    def now(self) -> int:
        """Return the clock of the records, in nanoseconds."""
        found = ctypes.c_uint64()
        self._do("cuptiGetTimestamp", ctypes.byref(found))
        return found.value

    def subscribe(self, callback: Any) -> ctypes.c_void_p:
        """Become CUPTI's one client; refused with 39 where there is another."""
        handle = ctypes.c_void_p()
        self._do("cuptiSubscribe", ctypes.byref(handle), callback, None)
        return handle

    def unsubscribe(self, handle: ctypes.c_void_p) -> None:
        """Stop being the client."""
        self._do("cuptiUnsubscribe", handle)

    def register(self, request: Any, complete: Any) -> None:
        """Set the two buffer callbacks of the process; the caller keeps them alive for ever."""
        self._do("cuptiActivityRegisterCallbacks", request, complete)

    def configure(self, kinds: Sequence[int]) -> None:
        """Choose the counters; after cuInit, before `enable`."""
        wanted = (Config * len(kinds))(*(Config(ALL_DEVICES, int(kind), 0, 1) for kind in kinds))
        self._do("cuptiActivityConfigureUnifiedMemoryCounter", wanted, len(kinds))

    def enable(self) -> None:
        """Start the counters."""
        self._do("cuptiActivityEnable", ACTIVITY_KIND)

    def disable(self) -> None:
        """Stop the counters."""
        self._do("cuptiActivityDisable", ACTIVITY_KIND)

    def flush(self, *, forced: bool) -> None:
        """Deliver finished buffers, or all. Does not synchronise the device; never from a callback."""
        self._do("cuptiActivityFlushAll", int(forced))

    def dropped(self) -> int:
        """Return the records for which CUPTI had no buffer."""
        found = ctypes.c_size_t()
        self._do("cuptiActivityGetNumDroppedRecords", None, 0, ctypes.byref(found))
        return found.value

    def offsets(self, raw: bytes) -> tuple[int, list[int]]:
        """Return the code that ended parsing and where the records begin; needs no GPU up to CUPTI 13.0.

        The code is `END_OF_BUFFER` when all is well and 21 for records of another size.
        """
        buffer = ctypes.create_string_buffer(raw, len(raw))
        start, place, found = ctypes.addressof(buffer), ctypes.c_void_p(None), list[int]()
        following = self._calls["cuptiActivityGetNextRecord"]
        while (code := following(start, len(raw), ctypes.byref(place))) == SUCCESS:
            found.append((place.value or start) - start)
        return code, found
