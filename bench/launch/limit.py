"""Find the largest value of a setting with which a run fits in memory, by bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value that fits (None: not even the smallest) and the smallest that does not (None: all fit)."""

    fits: int | None
    fails: int | None

    def sentence(self, setting: str) -> str:
        """Say what was found."""
        fits = f"the largest {setting} that fits is {self.fits}" if self.fits else f"no {setting} fits"
        return f"{fits}; {self.fails} does not" if self.fails else f"{fits}, the search's end"


def largest(fits: Callable[[int], bool], start: int, ceiling: int, grain: int = 1) -> Limit:
    """Search multiples of `grain` from `grain` to `ceiling`; `start` is a guess. What fits is taken to be monotone.

    Doubles until something fails, or halves until something fits, then bisects: about
    2 log2(ceiling / grain) calls at most. `fits` runs one try in a process of its own.
    """
    top = max(1, ceiling // grain)
    low, high = 0, top + 1  # in grains: `low` fits (0 trivially), `high` fails or lies beyond the ceiling
    guess = min(max(1, start // grain), top)
    while high - low > 1:
        if fits(guess * grain):
            low = guess
        else:
            high = guess
        known_above, known_below = high <= top, low > 0
        if known_above and known_below:
            guess = (low + high) // 2
        else:
            guess = max(1, high // 2) if known_above else min(2 * low, top)
    return Limit(low * grain or None, high * grain if high <= top else None)
