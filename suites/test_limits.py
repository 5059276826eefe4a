"""How large a batch, and how long a sequence, fits in this device's memory?"""

from __future__ import annotations

import pytest

METHODS = ("full", "lora", "qlora")


@pytest.mark.parametrize("method", METHODS)
def test_largest_batch(find_limit, work, method):
    """Double, then bisect: the largest batch that trains, and the next one, which does not."""
    find_limit(work.trial(method), "batch_size", ceiling=4096)


@pytest.mark.parametrize("method", METHODS)
def test_longest_sequence(find_limit, work, method):
    """The longest sequence that trains one at a time, to 64 tokens."""
    find_limit(work.trial(method, batch_size=1), "sequence_length", ceiling=131_072, grain=64)
