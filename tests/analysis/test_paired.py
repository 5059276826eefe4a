"""Paired differences of accuracy: exact where they must be, and a tie where nothing else can be said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.paired import difference, verdict

BITS = st.text("01", min_size=1, max_size=60)


@given(BITS, st.integers(1, 4))
def test_equal_answers_are_a_tie(bits, seeds):
    """Sides that answer every item alike differ by exactly nothing."""
    found = difference(dict.fromkeys(range(seeds), bits), dict.fromkeys(range(seeds), bits))
    assert found is not None
    assert found.value == 0
    assert verdict(found) == "tie"


@given(st.lists(st.tuples(BITS, BITS), min_size=1, max_size=4))
def test_sides_are_mirrors(pairs):
    """Exchanging the sides changes the sign and nothing else."""
    pairs = [(a[: min(len(a), len(b), 5)], b[: min(len(a), len(b), 5)]) for a, b in pairs]
    pairs = [pair for pair in pairs if len(pair[0]) == len(pairs[0][0])]
    one, other = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    forth, back = difference(one, other), difference(other, one)
    assert forth is not None
    assert back is not None
    assert forth.value == pytest.approx(-back.value)
    if forth.low is not None:
        assert -1 <= forth.low <= forth.high <= 1
        assert forth.low == pytest.approx(-back.high, abs=0.1)


def test_only_common_seeds_are_paired():
    """A seed that one side alone has is left out."""
    found = difference({0: "11", 1: "00"}, {0: "10"})
    assert found is not None
    assert (found.value, found.n) == (0.5, 1)
    assert difference({0: "1"}, {1: "1"}) is None


def test_other_numbers_of_items_give_no_interval():
    """Items cannot be paired then, so only the point stands, and no verdict."""
    found = difference({0: "1111"}, {0: "10"})
    assert found is not None
    assert (found.value, found.low) == (0.5, None)
    assert verdict(found) == "unknown"


def test_a_large_difference_is_seen_and_chance_is_not():
    """90 against 60 right of 100 is better; two draws of the same share are a tie nearly always."""
    rng = random.Random(0)

    def answers(share: float) -> str:
        return "".join("1" if rng.random() < share else "0" for _ in range(200))

    better = difference({s: answers(0.9) for s in range(3)}, {s: answers(0.6) for s in range(3)})
    assert verdict(better) == "better"
    alike = [verdict(difference({s: answers(0.5) for s in range(3)}, {s: answers(0.5) for s in range(3)}))
             for _ in range(40)]  # fmt: skip
    assert alike.count("tie") >= 36


def test_one_seed_says_what_it_does_not_cover():
    """An interval over items alone says that training is not in it."""
    found = difference({0: "1100"}, {0: "1010"})
    assert found is not None
    assert "not over training" in found.how
