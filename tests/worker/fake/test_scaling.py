"""Two simulations that differ by batch size tell all others: their straight line is what is simulated there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from bench import cache
from bench.schema.config import configure
from bench.worker.fake.fit import replay
from bench.worker.fake.heap import Event
from bench.worker.fake.scaling import CEILING, Twin, largest_batch, same_blocks, scaled
from bench.worker.logbook import Logbook
from bench.worker.predict import predict

MIB = 2**20


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    """Predict a run of tiny-llama at a batch size and return what it took and released."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))

    def events(method: str, batch: int, **settings) -> list[Event]:
        config = configure(**{"model": "tiny-llama", "method": method, "task": "addition", "device": "fake:l40s",
                              "packing": True, "batch_size": batch, "sequence_length": 64, **settings})  # fmt: skip
        logbook = Logbook(config, tmp_path / "phase")
        predict(logbook)
        return logbook.device.heap.events

    return events


def sizes(events: list[Event]) -> dict[int, int]:
    return {event.key: event.value for event in events if event.what == "take"}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("full", {"attention": "eager"}),
        ("lora", {"dtype": "bfloat16", "gradient_checkpointing": True}),
        ("qlora", {"dtype": "bfloat16", "sequence_length": 512}),  # of few rows 4-bit kernels make other products
        ("prompt_tuning", {}),
    ],
)
def test_what_two_batch_sizes_tell_is_what_others_do(simulated, method, settings):
    """From batches of 2 and 4 come, to the byte, the blocks of 7, in order."""
    two, four, seven = (simulated(method, batch, **settings) for batch in (2, 4, 7))
    known = same_blocks(two, four)
    assert known is not None

    assert same_blocks(two, seven) == sizes(scaled(two, known, 2, 4, 7))


def test_a_single_sequence_is_not_on_the_line(simulated):
    """A dimension of 1 needs no copies, so that a batch of 1 tells nothing about others."""
    assert same_blocks(simulated("full", 1), simulated("full", 2)) is None


def event(key: int, value: int, what: str = "take", during: str = "mm") -> Event:
    return Event(what, key, value, during, "train")


RUN = [event(1, 10 * MIB), event(2, 20 * MIB), event(1, 0, "release"), event(3, 30 * MIB)]
DOUBLE = {1: 10 * MIB, 2: 40 * MIB, 3: 60 * MIB}
"""At twice the batch the first block stays and the others double."""


def test_a_block_grows_in_a_straight_line():
    """From 20 MiB at batch 4 and 40 at 8 come 30 at 6 and 5 at 1; what does not grow and what is no size stay."""
    assert [e.value for e in scaled(RUN, DOUBLE, 4, 8, 6)] == [10 * MIB, 30 * MIB, 0, 45 * MIB]
    assert [e.value for e in scaled(RUN, DOUBLE, 4, 8, 1)] == [10 * MIB, 5 * MIB, 0, 7.5 * MIB]
    assert scaled(RUN, DOUBLE, 4, 8, 4) == RUN


def test_no_block_is_smaller_than_nothing():
    """A line that falls ends at 0."""
    assert [e.value for e in scaled([event(1, 100)], {1: 50}, 1, 2, 9)] == [0]


@pytest.mark.parametrize("capacity", [100 * MIB, 1000 * MIB])
def test_the_largest_batch_is_the_last_that_fits(capacity):
    """It finds room, and the next does not."""
    found, at_the_end = largest_batch(RUN, DOUBLE, 4, 8, capacity)

    assert not at_the_end
    assert replay(scaled(RUN, DOUBLE, 4, 8, found), capacity).refused is None
    assert replay(scaled(RUN, DOUBLE, 4, 8, found + 1), capacity).refused is not None


def test_where_not_even_one_fits_there_is_no_batch():
    """0 says so."""
    assert largest_batch(RUN, DOUBLE, 4, 8, 10 * MIB) == (0, False)


def test_a_search_that_meets_no_limit_says_so():
    """A run that does not grow with its batch fits at every size that is looked for."""
    assert largest_batch([event(1, 100)], {1: 100}, 1, 2, MIB * 40) == (CEILING, True)


def test_the_same_blocks_are_told_by_key_and_operation():
    """Whatever their sizes are, and whenever they are released."""
    doubled = [e._replace(value=DOUBLE[e.key]) for e in RUN if e.what == "take"]

    assert same_blocks(RUN, [*doubled, event(1, 0, "release")]) == DOUBLE


@pytest.mark.parametrize(
    "others",
    [[*RUN[:3], event(3, 60 * MIB, during="bmm")], [*RUN[:3], event(4, 60 * MIB)], [*RUN, event(4, 1)], RUN[:3], []],
    ids=["another operation", "another block", "one more", "one less", "none"],
)
def test_runs_that_do_other_things_have_no_line(others):
    """And nothing is said."""
    assert same_blocks(RUN, others) is None


def test_a_twin_tells_what_it_did(tmp_path):
    """Every event comes back as it was, and nothing else that was done there."""
    seen = []

    def work() -> list[Event]:
        seen.append("in the twin")
        return RUN

    assert Twin(work, tmp_path / "twin").events() == RUN
    assert seen == []


def children() -> set[str]:
    """Return the process ids of this process' children."""
    return {child for file in Path("/proc/self/task").glob("*/children") for child in file.read_text().split()}


def _raises() -> list[Event]:
    raise ZeroDivisionError


def _is_killed() -> list[Event]:
    os.kill(os.getpid(), signal.SIGKILL)
    return RUN


def _leaves() -> list[Event]:
    os._exit(0)


@pytest.mark.parametrize("work", [_raises, _is_killed])
def test_what_lies_where_a_failed_twin_would_have_written_is_not_read(tmp_path, work):
    """Half a file, or somebody else's, is nothing that the twin did."""
    (tmp_path / "twin").write_text(json.dumps(RUN))

    assert Twin(work, tmp_path / "twin").events() == []


@pytest.mark.parametrize("work", [_raises, _is_killed, _leaves])
def test_a_twin_that_fails_tells_nothing(tmp_path, work):
    """And what becomes of it is no concern of the run beside it; no process is left."""
    others = children()

    assert Twin(work, tmp_path / "twin").events() == []
    assert children() <= others
