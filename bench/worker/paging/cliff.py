"""A prediction, not a measurement: how many bytes an optimiser moves a step when its state does not quite fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK = 2 << 20
"""Bytes that the driver evicts at once (a root chunk of uvm_pmm_gpu.c)."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of one step, in to the device and out to the host."""

    htod: int
    dtoh: int


def predict(sizes: Sequence[int], room: int, steps: int = 4) -> list[Moved]:
    """Walk state tensors of `sizes` bytes in order, step after step, with `room` bytes on the device.

    The chunk that came in longest ago goes first, which for a cyclic walk is the worst
    choice: one chunk too many, and everything moves in and out every step. The first step
    populates on the device and brings nothing in. Raises `ValueError` if not even one chunk fits.
    """
    places = room // CHUNK
    if places < 1:
        raise ValueError(f"{room} bytes hold no chunk of {CHUNK}")
    chunks = [(tensor, part) for tensor, size in enumerate(sizes) for part in range(-(-size // CHUNK))]
    resident: OrderedDict[tuple[int, int], None] = OrderedDict()
    known: set[tuple[int, int]] = set()
    walked: list[Moved] = []
    for _ in range(steps):
        came = left = 0
        for chunk in chunks:
            if chunk in resident:
                continue
            if len(resident) == places:
                resident.popitem(last=False)
                left += CHUNK
            came += CHUNK * (chunk in known)
            known.add(chunk)
            resident[chunk] = None
        walked.append(Moved(came, left))
    return walked
