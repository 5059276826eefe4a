"""Parts of a sweep: together everything, nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError
from bench.launch.shard import Shard


@given(st.lists(st.integers(0, 20)), st.integers(1, 9))
def test_every_key_is_taken_by_one_part(keys, count):
    """Whatever the keys and however many parts: each is in exactly one, equal ones in the same."""
    taken = [Shard(number, count).takes(keys) for number in range(1, count + 1)]
    owners = [[number for number, part in enumerate(taken) if part[place]] for place in range(len(keys))]
    assert all(len(found) == 1 for found in owners)
    assert len({(key, found[0]) for key, found in zip(keys, owners, strict=True)}) == len(set(keys))


@given(st.sets(st.integers(), max_size=40), st.integers(1, 9))
def test_parts_differ_by_one_key_at_most(keys, count):
    """No machine gets all the work while another has none."""
    sizes = [sum(Shard(number, count).takes(sorted(keys))) for number in range(1, count + 1)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "text", ["", "2", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "one/two", "\u0661/\u0663", "1/ 3", f"1/{9**20}"]
)
def test_what_is_no_part_is_refused(text):
    """A mistake is a line that shows what was given, and an example."""
    with pytest.raises(BadValueError, match="2/8"):
        Shard.parse(text)


def test_a_part_is_read():
    """2/8 is the second of eight."""
    assert Shard.parse("2/8") == Shard(2, 8)
