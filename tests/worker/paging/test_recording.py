"""A pass in a file: what is read back is what was written, and the summary needs nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schema.metrics.paging import PAGING
from bench.worker.paging.attribution import OTHER, Range
from bench.worker.paging.capture import Buffer, Capture, ClockPair, Losses
from bench.worker.paging.recording import Recording, RecordingError, decode, encode
from bench.worker.paging.summary import SERIES, summarize
from bench.worker.paging.uvm import Window
from bench.worker.paging.validity import Level
from tests.worker.paging.made import MIB, SOMEWHERE, captured, good_pass

NATURAL = st.integers(0, 2**63 - 1)
BUFFERS = st.builds(
    lambda raw, offsets: Buffer(raw, tuple(sorted(offset for offset in offsets if offset + 64 <= len(raw)))),
    st.binary(max_size=600), st.sets(st.integers(0, 600), max_size=20),
)  # fmt: skip
CAPTURES = st.builds(
    Capture, st.integers(0, 999999), st.lists(BUFFERS).map(tuple),
    st.lists(st.builds(Window, st.integers(-1, 99), NATURAL, NATURAL, st.text())).map(tuple),
    st.lists(st.builds(ClockPair, NATURAL, NATURAL, NATURAL)).map(tuple),
    st.builds(Losses, st.none() | NATURAL, NATURAL, NATURAL, NATURAL), st.lists(st.text()).map(tuple),
)  # fmt: skip
RECORDINGS = st.builds(
    Recording, CAPTURES, st.dictionaries(st.integers(-1, 99), NATURAL),
    st.lists(st.builds(Range, st.integers(0, 2**64 - 1), NATURAL, st.text())).map(tuple),
    st.dictionaries(st.text(), st.text() | st.integers(-5, 5) | st.booleans()),
)  # fmt: skip


def good(**changes):
    records, windows, sent = good_pass()
    owners = (Range(SOMEWHERE, 3 * MIB, "layer.state1"),)
    return replace(Recording(captured(records, windows), sent, owners, {"driver": "580"}), **changes)


@given(RECORDINGS)
def test_what_is_written_is_read(recording):
    """Any recording, buffers and offsets to the byte."""
    assert decode(encode(recording)) == recording


def test_a_file_has_its_size():
    """Buffers that do not fit are left out, whole and from the end, and counted; the verdict knows."""
    buffers = tuple(Buffer(os.urandom(10_000), ()) for _ in range(10))
    recording = good(capture=replace(good().capture, buffers=good().capture.buffers + buffers))
    text = encode(recording, most_bytes=50_000)
    found = decode(text)

    assert len(text) <= 50_000
    assert found.omitted_buffers == 12 - len(found.capture.buffers) == 7
    assert found.capture.buffers == recording.capture.buffers[:5]
    assert summarize(found).verdict.level is Level.LOWER_BOUND
    assert decode(encode(found)).omitted_buffers == 7


def test_records_are_mostly_repetition():
    """80,000 records, as many as a buffer of 8 MiB holds, stay far below a megabyte with their offsets."""
    (first, _) = good().capture.buffers
    record = first.raw[:104]
    buffer = Buffer(record * 80_000, tuple(range(0, 104 * 80_000, 104)))
    text = encode(good(capture=replace(good().capture, buffers=(buffer,))))

    assert len(text) < 100_000
    assert decode(text).capture.buffers == (buffer,)


def broken(change):
    file = json.loads(encode(good()))
    change(file)
    return json.dumps(file).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"{}",
        broken(lambda file: file.update(format=2)),
        broken(lambda file: file.update(more=1)),
        broken(lambda file: file["buffers"][0].update(packed="!!")),
        broken(lambda file: file["buffers"][0].update(packed="AAAA")),
        broken(lambda file: file["buffers"][0].update(packed=file["buffers"][0]["packed"][:-8])),
        broken(lambda file: file["buffers"][0].update(runs=[[1, 10**12]])),
        broken(lambda file: file["buffers"][0].update(runs=[[8, 1], [0, 1]])),
        broken(lambda file: file["buffers"][0].update(runs=[[10**9, 1]])),
        broken(lambda file: file["buffers"][0].update(runs=[[-8, 1]])),
        broken(lambda file: file["buffers"][0].update(runs=[[300, 1]])),
        broken(lambda file: file["capture"]["windows"].append([1, 2])),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused(text):
    """Cut off, another format, or made to ask for more than there is: one error, no other."""
    with pytest.raises(RecordingError, match="format 1"):
        decode(text)


def test_a_bomb_is_not_unpacked():
    """A small file that would unpack to more than a buffer can hold is refused."""
    import zlib

    packed = msgspec.json.encode(zlib.compress(bytes(65 * MIB), 9)).decode().strip('"')
    with pytest.raises(RecordingError, match="larger than"):
        decode(broken(lambda file: file["buffers"][0].update(packed=packed)))


def test_a_good_pass_is_summed_up():
    """Medians over cold steps, a value a step in series, owners of cold bytes, what moved between steps outside."""
    found = summarize(decode(encode(good())))

    assert found.verdict.level is Level.COUNTED
    assert found.series["uvm.htod_bytes"] == (0, 0, 4 * MIB, 4 * MIB, 0)
    assert found.series["uvm.fault_groups"] == (9, 0, 2, 2, 0)
    assert found.series["uvm.chilled_bytes"] == (None, 0, 4 * MIB, 4 * MIB, 0)
    assert found.reading.values == {
        "counters_valid": 1, "fault_groups": 2, "fault_batches": 1, "bytes_in": 4 * MIB, "bytes_out": 0,
        "active_seconds": pytest.approx(60e-9), "fault_service_seconds": pytest.approx(40e-9),
    }  # fmt: skip
    assert found.reading.absent == {}
    assert found.owners == {("layer.state1", "htod"): 6 * MIB, (OTHER, "htod"): 2 * MIB}
    assert found.outside.moved("dtoh") == 4 * MIB


def test_phases_are_parts_of_their_step():
    """A step of two phases is judged as one, and told in two."""
    records, windows, sent = good_pass()
    split = [*windows[:-2], Window(3, 400, 430, "forward"), Window(3, 430, 500, "optimizer"), windows[-1]]
    found = summarize(Recording(captured(records, split), sent))
    forward, optimizer = found.phases[-3:-1]

    assert found.verdict.level is Level.COUNTED
    assert (forward.active_ns, optimizer.active_ns) == (20, 40)
    assert found.steps[-2].active_ns == 60


@pytest.mark.parametrize("second", [Window(1, 150, 300), Window(1, 300, 250)])
def test_windows_that_cannot_be_are_not_measured(second):
    """A clock set back makes windows that overlap or are reversed: a verdict, not an error after hours of work."""
    records, windows, sent = good_pass()
    clocks = (ClockPair(5_000_000, 0, 0), ClockPair(0, 100, 100))
    found = summarize(Recording(captured(records, [*windows[:2], second, *windows[3:]], clocks=clocks), sent))

    assert found.verdict.level is Level.NOT_MEASURED
    assert "windows overlap" in found.verdict.reasons[0]
    assert "stepped by 5.0 ms" in found.verdict.reasons[1]
    assert set(found.reading.absent) == set(SERIES)


def test_not_measured_is_absent_with_its_reason():
    """No number is left over, none is 0, and all are told why."""
    recording = good(capture=replace(good().capture, buffers=()))
    found = summarize(recording)

    assert found.verdict.level is Level.NOT_MEASURED
    assert found.reading.values == {"counters_valid": 0}
    assert set(found.reading.absent) == set(SERIES)
    assert all("canary" in reason for reason in found.reading.absent.values())
    assert found.series == {}


def test_a_lower_bound_is_given_but_not_believed():
    """The numbers are there and `counters_valid` is 0."""
    found = summarize(good(omitted_buffers=1))

    assert found.reading.values["counters_valid"] == 0
    assert found.reading.values["bytes_in"] == 4 * MIB


def test_names_are_those_of_the_catalogue():
    """Every value that was measured, and every reason for one that was not, has its metric."""
    for recording in (good(), good(capture=replace(good().capture, buffers=()))):
        reading = summarize(recording).reading
        assert {f"paging.{name}" for name in (*reading.values, *reading.absent)} <= set(PAGING)
