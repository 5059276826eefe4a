"""Verdicts on metrics that vary from run to run: all cases of a metric are one family, judged together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.analysis.gate import stages
from bench.analysis.gate.moderation import MOST_PRIOR_FREEDOM, Prior, array
from bench.analysis.gate.rules import Ruling, directed, margin_in_words
from bench.analysis.gate.scales import Scale, scale_of
from bench.analysis.gate.significance import (
    MOST_PAIRS,
    Summary,
    Tested,
    equivalent,
    holm,
    moderated_t,
    pairs_needed,
)
from bench.analysis.gate.verdicts import Verdict
from bench.analysis.stats import LEVEL, Estimate
from bench.schema.metrics import METRICS, Metric

FEWEST_PAIRS = 2
"""Pairs from which on there is a spread at all."""


@dataclass(frozen=True, slots=True)
class Member:
    """The paired differences of one case: of the screen, and of the fresh pairs that were made to confirm it.

    `staged` is False for pairs that were never to be confirmed: then the one stage has to convince alone.
    `left_out` counts pairs that were disturbed.
    """

    screen: tuple[float, ...]
    confirm: tuple[float, ...] = ()
    staged: bool = True
    left_out: int = 0


@dataclass(slots=True)
class Family:
    """One metric of all cases: what was screened, and the tests of what may be claimed of it.

    Tested are fresh pairs of what looks changed; of members that are not staged all, whatever they look like, since
    choosing among them by the same pairs would make chance look rare.
    """

    name: str
    members: Sequence[Member]
    screen: Summary = field(init=False)
    prior: Prior = field(init=False)
    looks_changed: Sequence[bool] = field(init=False)
    tests: Mapping[int, tuple[Summary, Tested]] = field(init=False)

    def __post_init__(self) -> None:
        self.screen = _summary([member.screen for member in self.members])
        self.prior = stages.family(self.screen)
        self.looks_changed = list(map(bool, stages.screened(self.screen, self.prior, self.scale.margin)))
        fresh = {
            place: member.confirm if member.staged else member.screen
            for place, member in enumerate(self.members) if self.looks_changed[place] or not member.staged
        }  # fmt: skip
        summaries = {place: _summary([pairs]) for place, pairs in fresh.items() if len(pairs) >= FEWEST_PAIRS}
        self.tests = {place: (found, moderated_t(found, self.prior)) for place, found in summaries.items()}

    @property
    def metric(self) -> Metric:
        """What the family is about."""
        return METRICS[self.name]

    @property
    def scale(self) -> Scale:
        """How its differences are judged."""
        return scale_of(self.name)

    def rulings(self, p_adjusted: Mapping[int, float]) -> list[Ruling]:
        """Judge every member; `p_adjusted` holds p after Holm of those that were tested."""
        return [self._ruling(place, p_adjusted.get(place)) for place in range(len(self.members))]

    def _ruling(self, place: int, p: float | None) -> Ruling:
        member, screen = self.members[place], _only(self.screen, place)
        found, test = self.tests.get(place, (screen, moderated_t(screen, self.prior)))
        least = self.scale.half if member.staged else self.scale.margin
        if p is not None and bool(stages.confirmed(screen, found, array([p]), least)[0]):
            fresh = "fresh " if member.staged else ""
            why = f"{int(found.count[0])} {fresh}pairs, p = {p:.2g} after Holm{_left(member)}"
            verdict = directed(self.metric, float(found.mean[0]))
            return Ruling(verdict, why, self._change(found, test), self.scale.relative)
        unconfirmed = self.looks_changed[place] and place not in self.tests
        if not unconfirmed and bool(equivalent(found, test, self.scale.margin)[0]):
            why = f"its 90 % interval lies within {margin_in_words(self.name, self.metric)}{_left(member)}"
            return Ruling(Verdict.UNCHANGED, why, self._change(found, test), self.scale.relative)
        return self._open(member, found, test, unconfirmed=unconfirmed)

    def _open(self, member: Member, found: Summary, test: Tested, *, unconfirmed: bool) -> Ruling:
        """Say that a member is neither changed nor known to be unchanged, and how many pairs would tell."""
        needed = self._needed(found, test)
        why = f"its 90 % interval reaches beyond {margin_in_words(self.name, self.metric)}"
        if unconfirmed:
            why = "it looks changed, and there are no fresh pairs that could confirm it"
        elif needed is None:
            why = f"{why}, and more than {MOST_PAIRS} pairs would be needed"
        elif needed <= int(found.count[0]):
            why, needed = "a change, if there is one, is about as large as the margin", None
        said = f"{why}{_left(member)}"
        return Ruling(Verdict.INCONCLUSIVE, said, self._change(found, test), self.scale.relative, needed)

    def _change(self, found: Summary, test: Tested) -> Estimate:
        from scipy.special import stdtrit

        middle, n = float(found.mean[0]), int(found.count[0])
        half = float(stdtrit(test.freedom[0], (1 + LEVEL) / 2) * test.error[0])
        low, middle, high = (self.scale.shown(at) for at in (middle - half, middle, middle + half))
        how = f"95 % moderated t interval over {n} pairs, {float(test.freedom[0]):.0f} degrees of freedom"
        return Estimate(middle, low, high, n, how)

    def _needed(self, found: Summary, test: Tested) -> int | None:
        """Return how many pairs would find a change of the margin's size; None for more than anybody makes."""
        spread = float(test.error[0]) * math.sqrt(float(found.count[0]))
        extra = min(float(self.prior.freedom[0]), MOST_PRIOR_FREEDOM)
        return pairs_needed(spread, self.scale.margin, stages.CONFIRM, extra)


def _left(member: Member) -> str:
    return f"; {member.left_out} pairs left out, disturbed from outside" if member.left_out else ""


def judged(families: Sequence[Family]) -> list[list[Ruling]]:
    """Judge all members of all families; what was tested is adjusted over all of them together (Holm)."""
    places = [(number, place) for number, family in enumerate(families) for place in family.tests]
    p = [float(families[number].tests[place][1].p[0]) for number, place in places]
    raised = holm(array(p)).tolist() if p else []
    adjusted: list[dict[int, float]] = [{} for _ in families]
    for (number, place), value in zip(places, raised, strict=True):
        adjusted[number][place] = value
    return [family.rulings(told) for family, told in zip(families, adjusted, strict=True)]


def _summary(pairs: Sequence[Sequence[float]]) -> Summary:
    import numpy as np

    rows = [np.asarray(row, dtype=float) for row in pairs]
    means, variances = [row.mean() for row in rows], [row.var(ddof=1) for row in rows]
    return Summary(array([len(row) for row in rows]), array(means), array(variances))


def _only(found: Summary, place: int) -> Summary:
    at = slice(place, place + 1)
    return Summary(found.count[at], found.mean[at], found.variance[at])
