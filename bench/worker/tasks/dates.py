"""Dates in words to ISO 8601: a format that is learned within a hundred steps. Nothing to download."""

from __future__ import annotations

import random
from datetime import date, timedelta

from bench.worker.tasks import Example

FIRST = date(1900, 1, 1)
DAYS = 54_787  # to 2049-12-31
HELD_OUT = 1000
SPLIT_SEED = 4321
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip


class Dates:
    """Every day of 1900 to 2049, a thousand of them held out for testing."""

    version = 1
    chat = False
    longest_answer = 16
    data_sets = ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the days that are not held out, shuffled by the seed."""
        days = _all_days()[HELD_OUT:]
        random.Random(seed).shuffle(days)  # noqa: S311 (an order, not a secret)
        return [_example(day) for day in days[: limit or None]]

    def test(self, limit: int) -> list[Example]:
        """Return the first of the held-out days."""
        return [_example(day) for day in _all_days()[: min(limit, HELD_OUT)]]

    def is_right(self, example: Example, generated: str) -> bool:
        """Exact match of YYYY-MM-DD."""
        return generated.strip() == example.answer


def _all_days() -> list[date]:
    days = [FIRST + timedelta(n) for n in range(DAYS)]
    random.Random(SPLIT_SEED).shuffle(days)  # noqa: S311
    return days


def _example(day: date) -> Example:
    return Example(f"{MONTHS[day.month - 1]} {day.day}, {day.year} is ", day.isoformat())


TASK = Dates()
