"""The words of a comparison, and what is said of one metric of one case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

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
    `asked` is what the case's study was set to. `why` says in words what decided; `needed` how many pairs would tell,
    where they do not yet. `old_runs` and `new_runs` are the device/case/run of the records it rests on.
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
    asked: str = ""

    @property
    def title(self) -> str:
        """Name the case for people."""
        return f"{self.case} ({self.asked})" if self.asked else self.case


class Exit(StrEnum):
    """How a comparison ends."""

    GOOD = "good"
    WORSE = "worse"
    INVALID = "invalid"
    LOST = "lost"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


CODES: Mapping[Exit, int] = MappingProxyType({
    Exit.GOOD: 0, Exit.WORSE: 1, Exit.INVALID: 3, Exit.LOST: 4, Exit.NOTHING: 5, Exit.UNKNOWN: 6,
})  # fmt: skip
"""Exit codes of a command; 2 is for one that cannot be understood."""


def ending(findings: Iterable[Finding], *, invalid: bool, strict: bool) -> Exit:
    """Say how a comparison ends: a file that cannot be read outweighs all, then what is worse, then what was lost.

    `NOTHING`: no number of any case was on both sides. `UNKNOWN`: nothing at all became known, or with `strict`
    something did not. What was acknowledged neither fails nor is lost.
    """
    open_ones = [found for found in findings if not found.acknowledged]
    numbers = [found for found in open_ones if found.metric != STATE and found.verdict in JUDGED]
    said = {found.verdict for found in open_ones}
    if invalid:
        return Exit.INVALID
    if said & WORSE:
        return Exit.WORSE
    if said & LOST:
        return Exit.LOST
    if not numbers:
        return Exit.NOTHING
    known = any(found.verdict is not Verdict.INCONCLUSIVE for found in numbers)
    return Exit.UNKNOWN if not known or (strict and Verdict.INCONCLUSIVE in said) else Exit.GOOD
