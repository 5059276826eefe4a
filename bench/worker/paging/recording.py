"""A capture in one JSON file, so that a run on a GPU can be read again without one.

Everything concluded from a capture is a pure function of this file; see
`bench.worker.paging.summary`. No path, host or user name is in it; the caller's `facts`
must have none either.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby, pairwise, repeat
from typing import Literal

import msgspec

from bench.schema.catalogue import Scalar
from bench.worker.paging.attribution import Range
from bench.worker.paging.capture import Buffer, Capture
from bench.worker.paging.uvm import PREFIX

FORMAT: Literal[1] = 1
MOST_FILE_BYTES = 16 << 20
MOST_BUFFER_BYTES = 64 << 20


class RecordingError(Exception):
    """A file is not a recording that this version can read."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A capture and what is needed to judge it.

    `sent` is the bytes sent away just before each step, 0 for a resident control; `owners`
    are the managed tensors; `facts` whatever the caller wants kept, such as driver version
    and GPU. `omitted_buffers` were left out because the file may only be so large.
    """

    capture: Capture
    sent: Mapping[int, int]
    owners: tuple[Range, ...] = ()
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    omitted_buffers: int = 0


class _PackedBuffer(msgspec.Struct, forbid_unknown_fields=True):
    """Raw bytes by zlib, in JSON as base64; offsets as runs of (distance, how often)."""

    packed: bytes
    runs: list[tuple[int, int]]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal[1]
    capture: Capture
    sent: dict[int, int]
    owners: tuple[Range, ...]
    facts: dict[str, Scalar]
    omitted_buffers: int
    buffers: list[_PackedBuffer]


def encode(recording: Recording, most_bytes: int = MOST_FILE_BYTES) -> bytes:
    """Write a recording as JSON of about `most_bytes` at most, leaving out the last buffers where needed."""
    bare = dataclasses.replace(recording.capture, buffers=())
    file = _File(FORMAT, bare, dict(recording.sent), recording.owners, dict(recording.facts), 0, [])
    room = most_bytes - len(msgspec.json.encode(file))
    for buffer in recording.capture.buffers:
        packed = _PackedBuffer(zlib.compress(buffer.raw), _runs(buffer.offsets))
        room -= len(msgspec.json.encode(packed)) + 1
        if room < 0:
            break
        file.buffers.append(packed)
    file.omitted_buffers = recording.omitted_buffers + len(recording.capture.buffers) - len(file.buffers)
    return msgspec.json.encode(file)


def decode(text: bytes) -> Recording:
    """Read a recording. Raises `RecordingError`."""
    try:
        file = msgspec.json.decode(text, type=_File)
        buffers = tuple(_unpacked(one) for one in file.buffers)
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise RecordingError(f"not a recording of format {FORMAT}: {error}.") from error
    capture = dataclasses.replace(file.capture, buffers=buffers)
    return Recording(capture, file.sent, file.owners, file.facts, file.omitted_buffers)


def _runs(offsets: Sequence[int]) -> list[tuple[int, int]]:
    distances = (after - before for before, after in pairwise([0, *offsets]))
    return [(distance, len(list(same))) for distance, same in groupby(distances)]


def _unpacked(buffer: _PackedBuffer) -> Buffer:
    unpacking = zlib.decompressobj()
    raw = unpacking.decompress(buffer.packed, MOST_BUFFER_BYTES)
    if not unpacking.eof:
        raise ValueError(f"a buffer is cut off or larger than {MOST_BUFFER_BYTES:,} B")
    if sum(count for _, count in buffer.runs) > len(raw):
        raise ValueError("more records than bytes")
    offsets = tuple(accumulate(chain.from_iterable(repeat(distance, count) for distance, count in buffer.runs)))
    if offsets and (
        offsets[0] < 0 or offsets[-1] + PREFIX.size > len(raw) or any(a >= b for a, b in pairwise(offsets))
    ):
        raise ValueError("records outside their buffer")
    return Buffer(raw, offsets)
