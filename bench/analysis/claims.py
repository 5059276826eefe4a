"""What evidence says of a claim: whether a number is where it was said to be, and the verdict over several."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What all evidence together says of a claim."""

    SUPPORTED = "supported"
    PARTLY = "partly"
    CONTRADICTED = "contradicted"
    UNTESTED = "untested here"


def lies(number: float, low: float | None, high: float | None, least: float, most: float) -> bool | None:
    """Tell whether a number lies from `least` to `most`; None where its interval, `low` to `high`, leaves it open.

    A number without an interval is taken as exact.
    """
    low, high = number if low is None else low, number if high is None else high
    if not all(map(math.isfinite, (number, low, high))):
        return None
    if least <= low and high <= most:
        return True
    return False if high < least or low > most else None


def verdict(holds: Iterable[bool | None]) -> Verdict:
    """Weigh evidence: every piece speaks for a claim (True), against it (False), or does not decide (None)."""
    decided = {one for one in holds if one is not None}
    if not decided:
        return Verdict.UNTESTED
    if len(decided) > 1:
        return Verdict.PARTLY
    return Verdict.SUPPORTED if decided.pop() else Verdict.CONTRADICTED
