"""Dates in words to ISO 8601: a format that is learned within a hundred steps. Nothing to download."""

from __future__ import annotations

from datetime import date, timedelta

from bench.worker.tasks import Example, Task, shuffled

FIRST = date(1900, 1, 1)
DAYS = 54_787  # to 2049-12-31
HELD_OUT = 1000
SPLIT_SEED = 4321
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip


class Dates(Task):
    """Every day of 1900 to 2049, a thousand of them held out for testing."""

    version = 1
    chat = False
    longest_answer = 16
    data_sets = ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the days that are not held out, shuffled by the seed."""
        return shuffled(_all_days()[HELD_OUT:], seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first of the held-out days."""
        return _all_days()[: min(limit, HELD_OUT)]

    def is_right(self, example: Example, generated: str) -> bool:
        """Exact match of YYYY-MM-DD."""
        return generated.strip() == example.answer


def _all_days() -> list[Example]:
    return shuffled((_example(FIRST + timedelta(n)) for n in range(DAYS)), SPLIT_SEED, 0)


def _example(day: date) -> Example:
    return Example(f"{MONTHS[day.month - 1]} {day.day}, {day.year} is ", day.isoformat())


TASK = Dates()
