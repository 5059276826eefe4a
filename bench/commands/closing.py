"""What a session of the suites says in the end: the tables of what it ran, and where the records are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.launch.session import Session


def summary_lines(session: Session, suites: Collection[str]) -> Iterator[str]:
    """Show the tables of what was run; a question's own where its suite, which is called like it, was asked for."""
    from bench.analysis.cases import group
    from bench.report.limits import limits
    from bench.report.predictions import predicted_peaks
    from bench.report.questions import QUESTIONS
    from bench.report.render import to_text
    from bench.report.summary import summary

    cases, tried = group(session.runs), group(session.tries)
    overview = predicted_peaks if session.predicts else summary
    tables = [overview(cases)] if cases else []
    answers = [table for name, question in QUESTIONS.items() if name in suites for table in question.tables(cases)]
    for table in [*tables, *([limits(tried)] if tried else []), *answers]:
        if not table.rows:
            continue
        yield from to_text(table).splitlines()
        yield ""
    if cases or tried:
        yield from session.closing_lines()
