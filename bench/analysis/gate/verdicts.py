"""The words of a comparison, and what is said of one metric of one case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.stats import Estimate


class Verdict(StrEnum):
    """What a comparison says. Only the first five rest on numbers of both sides."""

    IMPROVED = "improved"
    REGRESSED = "regressed"
    UNCHANGED = "unchanged"  # within the margin, and enough is known to say so
    CHANGED = "changed"  # exact, and neither direction is the better one
    INCONCLUSIVE = "inconclusive"
    BROKEN = "broken"  # ran on the old side, does not on the new
    FIXED = "fixed"
    MISSING = "missing"  # only the old side has it
    NEW = "new"
    INCOMPARABLE = "incomparable"


WORSE = frozenset({Verdict.REGRESSED, Verdict.BROKEN, Verdict.CHANGED})
"""Verdicts that fail a gate, unless the change was acknowledged."""
LOST = frozenset({Verdict.MISSING, Verdict.INCOMPARABLE})
"""Verdicts by which a comparison did not compare what it was asked to."""
JUDGED = frozenset({Verdict.IMPROVED, Verdict.REGRESSED, Verdict.UNCHANGED, Verdict.CHANGED, Verdict.INCONCLUSIVE,
                    Verdict.BROKEN, Verdict.FIXED})  # fmt: skip
"""Verdicts for which both sides were looked at."""

STATE = "state"
"""What stands for a metric in a finding about whether a case runs at all."""
ALL_CASES = "all cases"
"""What stands for a case in a finding about all of them together."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict. `old` and `new` are medians in the metric's base unit, `change` is new against old.

    `relative` says whether `change` is a share of the old value (0.05: 5 % more) or a difference in the metric's unit.
    `why` says in words what decided; `needed` how many pairs would tell, where they do not yet. `old_runs` and
    `new_runs` are the device/case/run of the records it rests on.
    """

    case: str
    device: str
    metric: str
    verdict: Verdict
    why: str
    old: float | None = None
    new: float | None = None
    change: Estimate | None = None
    relative: bool = True
    pairs: int = 0
    needed: int | None = None
    old_runs: tuple[str, ...] = ()
    new_runs: tuple[str, ...] = ()
    acknowledged: bool = False


class Exit(StrEnum):
    """What a comparison ends with, the most serious first."""

    INVALID = "invalid"
    WORSE = "worse"
    LOST = "lost"
    NOTHING = "nothing"
    UNKNOWN = "unknown"
    GOOD = "good"


def ending(findings: Iterable[Finding], *, invalid: bool, strict: bool) -> Exit:
    """Say how a comparison ends: a file that cannot be read outweighs all, then what is worse, then what was lost.

    `NOTHING`: no case was on both sides. `strict` counts what stayed inconclusive.
    """
    findings = list(findings)
    if invalid:
        return Exit.INVALID
    if any(found.verdict in WORSE and not found.acknowledged for found in findings):
        return Exit.WORSE
    if not any(found.verdict in JUDGED and found.metric != STATE for found in findings):
        compared = any(found.verdict is Verdict.INCOMPARABLE or found.verdict is Verdict.MISSING for found in findings)
        return Exit.LOST if compared else Exit.NOTHING
    if any(found.verdict in LOST for found in findings):
        return Exit.LOST
    if strict and any(found.verdict is Verdict.INCONCLUSIVE for found in findings):
        return Exit.UNKNOWN
    return Exit.GOOD
