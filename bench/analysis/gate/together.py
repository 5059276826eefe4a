"""All cases of a metric as one sample: a small shift that no single case shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.gate import stages
from bench.analysis.gate.families import Family
from bench.analysis.gate.moderation import array
from bench.analysis.gate.rules import Ruling, directed
from bench.analysis.gate.significance import EQUIVALENCE, holm
from bench.analysis.gate.verdicts import Verdict
from bench.analysis.stats import Estimate


@dataclass(frozen=True, slots=True)
class Pooled:
    """The cases' means of a metric, on its scale: their mean with its 90 % interval, and p of two tests of it."""

    cases: int
    mean: float
    half: float
    p: float
    p_of_signs: float
    is_large: bool


def together(families: Sequence[Family]) -> list[Ruling | None]:
    """Judge every family's cases as one sample, adjusted over families (Holm); None for fewer than six cases."""
    samples = [_pooled(family) for family in families]
    raised = holm(array([sample.p if sample else math.nan for sample in samples])).tolist() if samples else []
    found = zip(families, samples, raised, strict=True)
    return [_ruling(family, sample, p) if sample else None for family, sample, p in found]


def _pooled(family: Family) -> Pooled | None:
    from scipy.special import stdtrit

    means, cases = family.screen.mean, len(family.members)
    if cases < stages.FEWEST_POOLED:
        return None
    p, signs, large = stages.pooled(means, family.scale.half)
    half = float(stdtrit(cases - 1, 1 - EQUIVALENCE) * means.std(ddof=1) / math.sqrt(cases))
    return Pooled(cases, float(means.mean()), half, float(p), float(signs), bool(large))


def _ruling(family: Family, sample: Pooled, p: float) -> Ruling:
    scale = family.scale
    low, middle, high = (scale.shown(at) for at in (sample.mean - sample.half, sample.mean, sample.mean + sample.half))
    change = Estimate(middle, low, high, sample.cases, f"90 % t interval over {sample.cases} cases")
    verdict = Verdict.INCONCLUSIVE
    if p < stages.CONFIRM and sample.is_large:
        verdict = directed(family.metric, sample.mean)
    elif abs(sample.mean) + sample.half < scale.half:
        verdict = Verdict.UNCHANGED
    why = f"mean over {sample.cases} cases, p = {p:.2g} after Holm; signs alone p = {sample.p_of_signs:.2g}"
    return Ruling(verdict, why, change, scale.relative)
