"""A pass with the unified-memory counters on. It is a pass of its own: counting slows faults down.

Buffers are few and large, because CUPTI's thread takes the GIL for each. If some thread
waits for CUDA while it holds the GIL and CUPTI waits for our callback, nothing in Python
moves any more; a watchdog outside the GIL then ends the process and says where it stood.
"""

from __future__ import annotations

import ctypes
import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.worker.paging.capture import Buffer, Capture, ClockPair, Losses
from bench.worker.paging.cupti import (
    CALLBACK,
    COMPLETE,
    END_OF_BUFFER,
    REQUEST,
    CountersUnavailableError,
    Libcupti,
)
from bench.worker.paging.uvm import ACTIVITY_KIND, RECORD_BYTES, Kind, Window

KINDS = (
    Kind.HTOD, Kind.DTOH, Kind.CPU_FAULT, Kind.GPU_FAULT, Kind.THRASHING, Kind.THROTTLING, Kind.REMOTE_MAP,
)  # fmt: skip

SETTLE_SECONDS = 0.2
"""The driver reports migrations from a work queue, a little after they are over."""

STDERR = 2

_KEPT: list[Any] = []
"""Callbacks stay registered for the process and must never be freed."""


class UvmSession:
    """Counts between `start` and `stop`. The device is synchronised at both ends of every window and before `stop`."""

    def __init__(
        self,
        library: Libcupti,
        *,
        buffer_bytes: int = 8 << 20,
        most_bytes: int = 512 << 20,
        settle_seconds: float = SETTLE_SECONDS,
        deadline_seconds: float = 600.0,
    ) -> None:
        self._library, self._settle_seconds, self._deadline_seconds = library, settle_seconds, deadline_seconds
        self._buffer_bytes, self._most_bytes = buffer_bytes, most_bytes
        self._spare: list[Any] = []
        self._lent: dict[int, Any] = {}
        self._full: list[bytes] = []
        self._kept_bytes = self._foreign = self._over_limit = 0
        self._windows: list[Window] = []
        self._clocks: list[ClockPair] = []
        self._faults: list[str] = []
        self._open = False
        self._callbacks = REQUEST(self._lend), COMPLETE(self._take), CALLBACK(lambda *_: None)
        _KEPT.append(self._callbacks)

    def start(self) -> None:
        """Turn the counters on: after cuInit, best before the CUDA context and before the model exist.

        Raises `CountersUnavailableError`, and leaves CUPTI as it was. Once it has returned,
        `stop` must follow whatever happens: until then the watchdog runs.
        """
        request, complete, nothing = self._callbacks
        self._api = self._library.version()
        self._subscriber = self._library.subscribe(nothing)
        self._spare = [ctypes.create_string_buffer(self._buffer_bytes) for _ in range(2)]
        self._open = True
        try:
            self._library.register(request, complete)
            self._library.configure(KINDS)
            self._library.enable()
            self._now()
        except CountersUnavailableError:
            self._end()
            raise

    @contextmanager
    def window(self, index: int, phase: str = "step") -> Iterator[None]:
        """Mark the block as one window, also when it fails."""
        start = self._now()
        try:
            yield
        finally:
            self._windows.append(Window(index, start, self._now(), phase))

    def stop(self) -> Capture:
        """Turn the counters off and return everything. What goes wrong here is in the capture's `faults`."""
        self._quietly(self._now)
        self._quietly(self._library.flush, forced=False)
        time.sleep(self._settle_seconds)
        self._quietly(self._library.flush, forced=True)
        dropped = self._dropped()
        self._end()
        unreturned = sum(int.from_bytes(buffer[:4], "little") == ACTIVITY_KIND for buffer in self._lent.values())
        losses = Losses(dropped, self._foreign, unreturned, self._over_limit)
        buffers = tuple(self._parsed(raw) for raw in self._full)
        return Capture(self._api, buffers, tuple(self._windows), tuple(self._clocks), losses, tuple(self._faults))

    def _end(self) -> None:
        self._quietly(self._library.disable)
        self._quietly(self._library.unsubscribe, self._subscriber)
        self._open = False
        self._spare.clear()
        faulthandler.cancel_dump_traceback_later()

    def _now(self) -> int:
        """Read both clocks and return CUPTI's; the watchdog starts again."""
        faulthandler.dump_traceback_later(self._deadline_seconds, exit=True, file=STDERR)
        before = time.monotonic_ns()
        cupti = self._library.now()
        self._clocks.append(ClockPair(cupti, before, time.monotonic_ns()))
        return cupti

    def _lend(self, buffer: Any, size: Any, most_records: Any) -> None:
        """Answer CUPTI's request for an empty buffer. On CUPTI's thread: no exception, no call to CUDA or CUPTI."""
        size[0] = most_records[0] = 0
        buffer[0] = None
        if not self._open:
            return
        one = self._spare.pop() if self._spare else ctypes.create_string_buffer(self._buffer_bytes)
        ctypes.memset(one, 0, RECORD_BYTES[0])
        self._lent[ctypes.addressof(one)] = one
        buffer[0], size[0] = ctypes.addressof(one), self._buffer_bytes

    def _take(self, _context: Any, _stream: int, address: int | None, _size: int, valid: int) -> None:
        """Copy the records out of a completed buffer and keep it for the next request."""
        one = self._lent.pop(address or 0, None)
        if one is None or valid > self._buffer_bytes:
            self._foreign += 1
        elif self._kept_bytes + valid > self._most_bytes:
            self._over_limit += valid
        elif valid:
            self._kept_bytes += valid
            self._full.append(ctypes.string_at(one, valid))
        if one is not None and self._open:
            self._spare.append(one)

    def _parsed(self, raw: bytes) -> Buffer:
        code, offsets = self._library.offsets(raw)
        if code != END_OF_BUFFER or (offsets and offsets[-1] + RECORD_BYTES[0] > len(raw)):
            self._faults.append(f"CUPTI stopped reading its own buffer with code {code} after {len(offsets)} records.")
            offsets = []
        return Buffer(raw, tuple(offsets))

    def _dropped(self) -> int | None:
        try:
            return self._library.dropped()
        except CountersUnavailableError:
            return None

    def _quietly(self, call: Any, *arguments: Any, **options: Any) -> None:
        try:
            call(*arguments, **options)
        except CountersUnavailableError as error:
            self._faults.append(str(error))
