"""Comparisons that were kept as files, read again for pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.analysis.gate.verdicts import Finding, Verdict
from bench.analysis.stats import Estimate
from bench.report.gate.verdict_table import ENDINGS, URGENCY
from bench.report.tables import Cell, Column, Table
from bench.schema.comparison import Change, ComparisonFact, FindingFact, SideFact

TESTED = ("package.peft", "package.bitsandbytes", "package.torch", "package.transformers")
"""Packages whose versions make a column."""
SHARE = "share of the old value"


def as_findings(fact: ComparisonFact) -> list[Finding]:
    """Return the findings of a kept comparison; the records they rest on are not kept with it, so none is named."""
    return [_finding(one) for one in fact.findings]


def _finding(one: FindingFact) -> Finding:
    change = one.change
    return Finding(
        one.case, one.device, one.metric, Verdict(one.verdict), one.why, one.old, one.new,
        _estimate(change) if change else None, change is None or change.of == SHARE, one.pairs or 0, one.pairs_needed,
        acknowledged=one.acknowledged, asked=one.asked,
    )  # fmt: skip


def _estimate(change: Change) -> Estimate:
    return Estimate(change.value, change.low, change.high, change.n, change.how)


def matrix(kept: Mapping[str, ComparisonFact]) -> Table:
    """Return a row a comparison: versions on both sides, devices, and how many verdicts of each sort."""
    columns = (
        Column("name", "comparison"), *(Column(name, name.removeprefix("package.")) for name in TESTED),
        Column("device", "device"), Column("runs", "runs"), *(Column(word.value, word.value) for word in URGENCY),
        Column("ending", "in a word"),
    )  # fmt: skip
    used = {verdict for fact in kept.values() for verdict in fact.counts}
    shown = tuple(column for column in columns if column.key not in set(Verdict) - used)
    return Table("Comparisons", shown, tuple(_row(name, fact) for name, fact in kept.items()))


def _row(name: str, fact: ComparisonFact) -> dict[str, Cell]:
    return {
        "name": Cell(name, link=f"data/comparisons/{name}.json"),
        **{package: Cell(_versions(fact, package)) for package in TESTED},
        "device": Cell(", ".join(map(str, fact.new.facts.get("device", ())))),
        "runs": Cell(f"{fact.old.runs} + {fact.new.runs}"),
        **{verdict: Cell(str(count)) for verdict, count in fact.counts.items()},
        "ending": Cell(ending_of(fact)),
    }


def ending_of(fact: ComparisonFact) -> str:
    """Say how a comparison ended."""
    return next((words for ending, words in ENDINGS.items() if ending.value == fact.ending), fact.ending)


def _versions(fact: ComparisonFact, package: str) -> str:
    old, new = (_fact(side, package) for side in (fact.old, fact.new))
    return old if old == new else f"{old} → {new}"


def _fact(side: SideFact, name: str) -> str:
    return ", ".join(map(str, side.facts.get(name, ("absent",))))


def differences(fact: ComparisonFact) -> Iterator[str]:
    """Say in words which facts of the sides differ."""
    for name in sorted(fact.old.facts.keys() | fact.new.facts.keys()):
        old, new = (_fact(side, name) for side in (fact.old, fact.new))
        if old != new:
            yield f"{name}: {old} against {new}"
