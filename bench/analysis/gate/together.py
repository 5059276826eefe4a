"""All cases of a metric as one sample: a small shift that no single case shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.analysis.gate import stages
from bench.analysis.gate.families import Family, array
from bench.analysis.gate.rules import Ruling, directed
from bench.analysis.gate.significance import holm
from bench.analysis.gate.verdicts import Verdict
from bench.analysis.stats import Estimate


def together(families: Sequence[Family]) -> list[Ruling | None]:
    """Judge every family's cases as one sample, adjusted over families (Holm); None for fewer than six cases."""
    import numpy as np

    tests = [_pooled(family) for family in families]
    raised = holm(array([test[0] if test else float("nan") for test in tests])).tolist() if tests else []
    rulings: list[Ruling | None] = []
    for family, test, p in zip(families, tests, raised, strict=True):
        if test is None:
            rulings.append(None)
            continue
        _, sign, counts, change = test
        why = f"mean over {len(family.members)} cases, p = {p:.2g} after Holm; signs alone p = {sign:.2g}"
        low, high = change.low or 0.0, change.high or 0.0
        shown = family.scale.shown(family.scale.half)
        verdict = Verdict.INCONCLUSIVE
        if p < stages.CONFIRM and counts:
            verdict = directed(family.metric, float(np.sign(change.value)))
        elif max(abs(low), abs(high)) < shown:
            verdict = Verdict.UNCHANGED
        rulings.append(Ruling(verdict, why, change, family.scale.relative))
    return rulings


def _pooled(family: Family) -> tuple[float, float, bool, Estimate] | None:
    from scipy.special import stdtrit

    cases = len(family.members)
    if cases < stages.FEWEST_POOLED:
        return None
    means = family.screen.mean
    p, sign, counts = stages.pooled(means, family.scale.half)
    middle = float(means.mean())
    half = float(stdtrit(cases - 1, 0.95) * means.std(ddof=1) / math.sqrt(cases))
    low, value, high = (family.scale.shown(at) for at in (middle - half, middle, middle + half))
    change = Estimate(value, low, high, cases, f"90 % t interval over {cases} cases")
    return float(p), float(sign), bool(counts), change
