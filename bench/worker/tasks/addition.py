"""Sums of two two-digit numbers: nothing to download, and a small model visibly learns it in minutes."""

from __future__ import annotations

from bench.worker.tasks import Example, Task, shuffled

HELD_OUT = 1000
SPLIT_SEED = 1234


class Addition(Task):
    """8,100 sums; the same thousand are held out for testing in every run."""

    version = 1
    chat = False
    longest_answer = 6
    data_sets = ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the sums that are not held out, shuffled by the seed."""
        return shuffled(_all_sums()[HELD_OUT:], seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first of the held-out sums."""
        return _all_sums()[: min(limit, HELD_OUT)]

    def is_right(self, example: Example, generated: str) -> bool:
        """Exact match: digits and nothing else."""
        return generated.strip() == example.answer


def _all_sums() -> list[Example]:
    sums = [Example(f"{a}+{b}=", str(a + b)) for a in range(10, 100) for b in range(10, 100)]
    return shuffled(sums, SPLIT_SEED, 0)


TASK = Addition()
