"""What upgrades changed: every comparison that was kept, and whether kernels are right by version."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.gate.forest import forest
from bench.report.gate.kept import as_findings, differences, ending_of, matrix
from bench.report.gate.verdict_table import findings_table
from bench.report.questions import QUESTIONS
from bench.report.site.assembly import laid_out, shown
from bench.report.site.page import Page, Section
from bench.schema.comparison import ComparisonFact

LEAD = (
    "Two versions run in turns on one machine, with the same seeds and data; what changed is said case by case, and "
    "what is not known yet is said too. ftbench ab makes such a comparison."
)


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the matrix of comparisons, a section each, and the kernels."""
    sections = [Section("matrix", "Which upgrades were compared", tables=(matrix(results.comparisons),))]
    for name, fact in results.comparisons.items():
        found = as_findings(fact)
        chart = forest(name, found)
        sections.append(Section(f"comparison-{name}", name, _said(fact), charts=(chart,) if chart else (),
                                tables=(findings_table("Verdicts", found),), kind="derived"))  # fmt: skip
    numerics = QUESTIONS["numerics"].tables(results.cases)[:1]
    sections.append(Section("kernels", "Are the kernels right?", tables=tuple(numerics)))
    empty = "No comparison is kept below results/comparisons/; ftbench ab makes one."
    yield from laid_out(Page("upgrades.html", "Upgrades", LEAD, shown(sections), empty=empty), results)


def _said(fact: ComparisonFact) -> str:
    """Say what a comparison compared, and how it ended."""
    apart = "; ".join(differences(fact)) or "Nothing differs between the sides: whatever is found is noise"
    return f"{fact.old.name} against {fact.new.name}: {ending_of(fact)}. {apart}."
