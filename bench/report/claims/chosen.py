"""Which cases speak for or against a claim, and numbers made of two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.analysis.cases import Case
from bench.analysis.families import setting
from bench.analysis.results import Results
from bench.report.tables import Cell, case_page, sources

CARD = "a100-80gb"
"""The card of the guide's claims about memory."""
LARGE, MIDDLE = "llama-3.3-70b", "llama-3.1-8b"
"""The models of the guide's claims about memory."""


def such(cases: Iterable[Case], **wanted: object) -> list[Case]:
    """Return the cases whose settings are as wanted: fields of a config, options of its method or of its study."""
    return [case for case in cases if all(setting(case.config, name) == value for name, value in wanted.items())]


def predicted(results: Results, **wanted: object) -> Iterator[Case]:
    """Return the predicted case with such settings whose numbers stand: on the guide's card, or on the first."""
    found = [case for case in such(results.predicted, **wanted) if case.answers]
    yield from sorted(found, key=lambda case: not case.device.endswith(CARD))[:1]


def quotient(top: Case, bottom: Case, metric: str, of: str = "") -> Cell:
    """Return how many times one case's number another's is, where neither varies between runs.

    `of` names the other's metric where it is another one.
    """
    tops, bottoms = top.values(metric), bottom.values(of or metric)
    if not tops or not bottoms or not bottoms[-1]:
        return Cell(None, "x")
    return Cell(
        tops[-1] / bottoms[-1], "x", n=1, how="ratio of two numbers that do not vary", kind="derived",
        link=case_page(top), runs=sources(top), against=sources(bottom),
    )  # fmt: skip


def derived(case: Case, number: float, unit: str, how: str) -> Cell:
    """Return a number computed from one case's own."""
    return Cell(number, unit, n=1, how=how, kind="derived", link=case_page(case), runs=sources(case))


def against_full(results: Results, metric: str, method: str) -> Iterator[tuple[Case, Cell]]:
    """Return a method's published numbers over Full's of the same source, card and model."""
    known = {
        (case.device, case.config.model, run.record.citation, case.config.method): (case, run)
        for case in results.published for run in case.runs if metric in run.record.metrics
    }  # fmt: skip
    for (device, model, citation, found), (case, run) in known.items():
        full = known.get((device, model, citation, "full"))
        if found == method and full:
            value = run.record.metrics[metric] / full[1].record.metrics[metric]
            yield case, Cell(value, "x", n=1, how="ratio of two published numbers", kind="published", metric=metric,
                             link=case_page(case), runs=(run.address,), against=(full[1].address,))  # fmt: skip
