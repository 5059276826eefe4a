"""The predicted cliff: nothing moves while all fits, everything when it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.paging.cliff import CHUNK, Moved, predict

MIB = 1 << 20


@pytest.mark.parametrize(("room", "a_step"), [(640, Moved(0, 0)), (638, Moved(640 * MIB, 640 * MIB))])
def test_two_mebibytes_too_many_move_everything(room, a_step):
    """640 MiB of state, walked in a circle."""
    first, *others = predict([64 * MIB] * 10, room * MIB)

    assert others == [a_step] * 3
    assert first == Moved(0, a_step.dtoh and 2 * MIB)


@given(st.lists(st.integers(1, 5 * CHUNK), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 5))
def test_what_is_on_the_device_fits_there(sizes, places, steps):
    """What came in or was made, less what left, never exceeds the room; nothing returns that has not left."""
    walked = predict(sizes, places * CHUNK, steps)
    chunks = sum(-(-size // CHUNK) for size in sizes)
    left = sum(step.dtoh for step in walked)

    assert walked[0].htod == 0
    assert sum(step.htod for step in walked) <= left
    assert chunks * CHUNK + sum(step.htod for step in walked) - left == min(chunks, places) * CHUNK


def test_room_for_no_chunk_is_refused():
    """No prediction is made for a device that can hold nothing."""
    with pytest.raises(ValueError, match="no chunk"):
        predict([CHUNK], CHUNK - 1)
