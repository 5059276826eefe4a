"""One page a question: the claims about it, what the charts say, and its tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from bench.analysis.results import Results
from bench.report.chart import Chart
from bench.report.questions import QUESTIONS, Question
from bench.report.site.assembly import laid_out, shown
from bench.report.site.page import Page, Section
from bench.report.tables import Table


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page of every question, those without a run too."""
    for question in QUESTIONS.values():
        yield from laid_out(page(question, results), results)


def page(question: Question, results: Results) -> Page:
    """Lay out a question: its charts first, whose findings stand above them, then a section a table."""
    charts, tables = answered(question, results)
    sections = [Section("charts", "What was found", charts=charts)]
    sections += [Section(f"table-{n}", table.title, tables=(table,)) for n, table in enumerate(tables, 1)]
    empty = f"No run is about this yet. pytest suites/test_{question.name}.py --benchmark-only measures it."
    return Page(path_of(question), question.title, question.about, shown(sections), empty=empty)


@lru_cache(maxsize=len(QUESTIONS))  # the first page says what each found, and their own pages show it
def answered(question: Question, results: Results) -> tuple[tuple[Chart, ...], tuple[Table, ...]]:
    """Return the charts and tables of a question."""
    return tuple(question.charts(results.cases)), tuple(question.tables(results.cases))


def path_of(question: Question) -> str:
    """Return where a question's page lies below the site's root."""
    return f"{question.name}.html"
