"""How often the gate is wrong: 4,000 made-up comparisons of every kind, held against bounds; prints a table.

Run by `tox -e gate-selftest`, in under a minute on two cores. Exits with 1 where a number leaves its bound.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench.analysis.gate.families import Family, Member, judged
from bench.analysis.gate.rules import bytes_held
from bench.analysis.gate.stages import CONFIRM, pooled
from bench.analysis.gate.verdicts import Verdict
from bench.schema.metrics import METRICS
from tests.analysis.gate.simulation import simulate

FAMILIES = 4000
ONE_BY_ONE = 500
"""Comparisons that are judged case by case, which takes milliseconds each; their bound allows for so few."""
GIB = 2**30


class Row(NamedTuple):
    """One line of the table: what was made up, what share came out, and the bound it has to keep."""

    what: str
    share: float
    bound: float
    at_least: bool

    @property
    def good(self) -> bool:
        """Whether the share keeps its bound."""
        return self.share >= self.bound if self.at_least else self.share <= self.bound


def rows() -> Iterator[Row]:
    """Make up every kind of comparison that the documentation promises something about."""
    for noise, words in {
        "normal": "normal noise",
        "t3": "heavy tails (t, 3)",
        "outliers": "3 % gross outliers",
    }.items():
        for cases in (12, 36):
            for cv, bound in ((0.005, 0.01), (0.01, 0.01), (0.02, 0.015)):
                made = simulate(FAMILIES, cases, cv, noise=noise)  # type: ignore[arg-type]
                yield Row(f"equal sides, {words}, {cases} cases, CV {cv:.1%}: any claim", made.any_false, bound, False)
    for effect, cv, bound in ((0.05, 0.01, 0.95), (0.10, 0.02, 0.90), (0.03, 0.005, 0.95)):
        for cases in (12, 36):
            found = simulate(FAMILIES, cases, cv, effect=effect).power
            yield Row(f"+{effect:.0%} in a sixth of {cases} cases, CV {cv:.1%}: found", found, bound, True)
    for cases in (12, 36):
        drifting = simulate(FAMILIES, cases, 0.01, drift=0.03)
        yield Row(f"equal sides in turns, drift of 3 %, {cases} cases: any claim", drifting.any_false, 0.015, False)
        yield Row(f"equal sides in turns, drift of 3 %, {cases} cases: all together", drifting.pooled, 0.015, False)
    yield from one_by_one()
    rng = np.random.default_rng(11)
    for shift, bound, at_least in ((-0.017, 0.90, True), (0.0, 0.015, False)):
        p, _, counts = pooled(rng.normal(shift, 0.012, (FAMILIES, 12)), 0.005)
        share = float(np.mean((p < CONFIRM) & counts))
        words = f"12 cases, each {shift * 100:+.1f} points" if shift else "12 equal cases"
        yield Row(f"accuracy, sd 1.2 points, {words}: all together", share, bound, at_least)


def one_by_one() -> Iterator[Row]:
    """Judge comparisons as the product does, case by case: in two stages, and stored ones in one; and peaks."""
    rng = np.random.default_rng(5)
    for staged, words in ((True, "in turns"), (False, "stored, accuracies")):
        name, spread = ("train.step_seconds", 0.014) if staged else ("evaluate.accuracy", 0.012)
        false = 0
        for _ in range(ONE_BY_ONE):
            drawn = rng.normal(0, spread, (2, 12, 5))
            members = [Member(tuple(a), tuple(b) if staged else (), staged=staged) for a, b in zip(*drawn, strict=True)]
            said = {ruling.verdict for ruling in judged([Family(name, members)])[0]}
            false += bool(said & {Verdict.REGRESSED, Verdict.IMPROVED})
        yield Row(f"equal sides {words}, judged one by one, 12 cases: any claim", false / ONE_BY_ONE, 0.02, False)
    peak = METRICS["train.peak_reserved"]
    for growth, bound, at_least in ((0.01, 1.0, True), (0.001, 0.0, False), (0.0, 0.0, False)):
        found = 0
        for _ in range(100):
            old, new = (20 * GIB * (1 + side) * (1 + rng.uniform(0, 0.002, 3)) for side in (0, growth))
            found += bytes_held(peak, list(zip(old, new, strict=True))).verdict is Verdict.REGRESSED
        yield Row(
            f"reserved memory +{growth:.1%}, 20 GiB that repeat within 0.2 %: found", found / 100, bound, at_least
        )


def main() -> int:
    """Print the table as Markdown; return 1 where a bound is broken."""
    print("| made up | share | bound |\n| --- | --- | --- |")
    broken = 0
    for row in rows():
        broken += not row.good
        print(f"| {row.what} | {row.share:.2%} | {'at least' if row.at_least else 'at most'} {row.bound:.1%} |"
              f"{'' if row.good else ' BROKEN'}")  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
