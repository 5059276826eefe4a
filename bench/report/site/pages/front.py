"""The first page: the headline answers, the guide's tables T1 and T2, what beats what, the way to every question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.analysis.cases import newest
from bench.analysis.match import Comparison
from bench.analysis.results import Results
from bench.report.claims import judged
from bench.report.comparison import hardware
from bench.report.findings import findings
from bench.report.guide import TITLE
from bench.report.pareto import pareto
from bench.report.questions import QUESTIONS
from bench.report.site.assembly import pieces, whole
from bench.report.site.page import Section
from bench.report.site.pages import claims, methods
from bench.report.site.pages.questions import answered, path_of
from bench.schema import Kind

PATH = "index.html"
MOST_OTHERS = 12
"""Other comparisons that are named."""
FROM_THE_GUIDE = "recipes"
"""The question that is the guide's table T2."""


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the first page, about the device and model that are compared best."""
    first = _best(results)
    said = judged(results)
    yield PATH, whole(
        "index.html", PATH, results, guide=TITLE, count=_count(results), sections=list(_sections(results, first)),
        counts=claims.counts(said), icons=claims.ICONS, questions=list(_questions(results)),
        others=[methods.title(found) for found in results.matched if found is not first][:MOST_OTHERS],
        hardware=sorted({hardware(case) for case in results.ran}), found=bool(first and findings(first)),
    )  # fmt: skip


def _best(results: Results) -> Comparison | None:
    """Return the comparison with most methods on both counts, then with most test items; the first of equals."""

    def weight(found: Comparison) -> tuple[int, int]:
        learning = [case for case in found.learning.cases.values() if case.ok]
        items = sum(case.config.evaluate_items for case in learning)
        return len([case for case in found.speed.cases.values() if case.ok]) + len(learning), items

    return max(results.matched, key=weight, default=None)


def _sections(results: Results, first: Comparison | None) -> Iterator[dict[str, Any]]:
    """Write the sections: T1 with its findings and charts, and T2."""
    if first is not None:
        made = methods.section(first, 0)
        chart = pareto(results.ran, first.device, first.model, "pareto")
        answers = Section("answers", "In short", findings=made.findings)
        yield _section(answers)
        where = made.title
        about = "Every training of this model on this device; what costs more and gives less is beaten."
        charts = (chart, *made.charts[:1]) if chart is not None else made.charts[:1]
        yield _section(Section("pareto", f"Accuracy against memory: {where}", about, charts=charts, kind=made.kind))
        about = (
            "The columns named “the guide” are published numbers, for other models, some of them for one of 70B "
            "parameters; they are not comparable with ours number by number."
        )
        yield _section(Section("t1", f"The guide's comparison, beside ours: {where}", about, tables=made.tables,
                               style="t1", kind=made.kind))  # fmt: skip
    recipes = QUESTIONS[FROM_THE_GUIDE]
    tables = tuple(table for table in answered(recipes, results)[1] if table.rows)
    if tables:
        yield _section(Section("t2", "The guide's four use cases", recipes.about, tables=tables))


def _section(section: Section) -> dict[str, Any]:
    return {"section": section, "pieces": list(pieces(section, ""))}


def _questions(results: Results) -> Iterator[dict[str, str]]:
    """Return every question with the finding of its first chart."""
    for question in QUESTIONS.values():
        charts, tables = answered(question, results)
        measured = charts or any(table.rows for table in tables)
        said = charts[0].finding if charts else "" if measured else "No run is about this yet."
        yield {"path": path_of(question), "title": question.title, "about": question.about, "said": said}


def _count(results: Results) -> dict[str, int]:
    kinds = {kind.value: sum(case.kind is kind for case in newest(results.cases))
             for kind in (Kind.PREDICTED, Kind.PUBLISHED)}  # fmt: skip
    return {
        "runs": sum(len(case.runs) for case in results.ran),
        "failed": sum(len(case.failed) for case in results.ran),
        "cases": len(results.ran),
        **kinds,
    }
