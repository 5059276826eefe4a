"""The guide's claims, each with its verdict and what decides it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.analysis.claims import Verdict
from bench.analysis.results import Results
from bench.report.claims import Judged, judged
from bench.report.claims.claim import Evidence
from bench.report.guide import TITLE
from bench.report.questions import QUESTIONS
from bench.report.site.assembly import whole
from bench.report.site.navigation import root_of
from bench.report.site.page import Sources
from bench.report.site.templating import piece

if TYPE_CHECKING:
    from markupsafe import Markup

PATH = "claims.html"
ICONS = {Verdict.SUPPORTED: "✓", Verdict.PARTLY: "◐", Verdict.CONTRADICTED: "✗", Verdict.UNTESTED: "?"}
MOST = 6
"""Pieces of evidence that are shown at once; the others can be opened."""
ALL = 40
"""Pieces of evidence on the page; the question's page has the rest."""


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page of claims."""
    found = judged(results)
    claims = [{"judged": one, "icon": ICONS[one.verdict], "piece": _piece(one),
               "question": QUESTIONS.get(one.claim.question)} for one in found]  # fmt: skip
    yield PATH, whole("claims.html", PATH, results, claims=claims, counts=counts(found), icons=ICONS, guide=TITLE)


def counts(found: Sequence[Judged]) -> dict[Verdict, int]:
    """Return how many claims have each verdict."""
    counted = Counter(one.verdict for one in found)
    return {verdict: counted[verdict] for verdict in Verdict}


def _piece(one: Judged) -> Markup:
    ordered = sorted(one.evidence, key=lambda evidence: evidence.holds is None)
    kept = [(evidence, _word(evidence)) for evidence in ordered[:ALL]]
    return piece("evidence", kept[:MOST], kept[MOST:], len(ordered) - len(kept), root_of(PATH), Sources())


def _word(evidence: Evidence) -> str:
    return {True: "for", False: "against", None: "open"}[evidence.holds]
