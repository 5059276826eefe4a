"""The search for what fits ends at the edge, wherever that is, in few tries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError
from bench.launch.limit import Limit, largest
from bench.launch.sizes import parse_bytes


@given(edge=st.integers(0, 5000), start=st.integers(1, 5000), ceiling=st.integers(1, 5000), grain=st.integers(1, 64))
def test_the_search_finds_the_edge(edge, start, ceiling, grain):
    """The answer is the last multiple of the grain that fits and the next one, each tried; never twice the same."""
    tried: list[int] = []

    def fits(value: int) -> bool:
        tried.append(value)
        return value <= edge

    found = largest(fits, start, ceiling, grain)

    multiples = list(range(grain, max(ceiling, grain) + 1, grain))
    good = [value for value in multiples if value <= edge]
    bad = [value for value in multiples if value > edge]
    assert found == Limit(good[-1] if good else None, bad[0] if bad else None)
    assert set(tried) >= {value for value in (found.fits, found.fails) if value}
    assert len(tried) == len(set(tried)) <= 2 * math.log2(len(multiples)) + 2
    assert all(grain <= value <= max(ceiling, grain) for value in tried)


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 2**32), ("1.5 gb", 1_500_000_000), ("512", 512), ("2MB", 2_000_000), ("1kib", 1024)]
)
def test_sizes_are_read_as_written(text, size):
    """Decimal and binary units, with or without a space, in any case."""
    assert parse_bytes("--memory-limit", text) == size


@pytest.mark.parametrize("text", ["", "much", "4GX", "-1GiB", "4 GiB please"])
def test_what_is_no_size_is_refused_by_name(text):
    """The message names the option and the value."""
    with pytest.raises(BadValueError, match="--memory-limit"):
        parse_bytes("--memory-limit", text)
