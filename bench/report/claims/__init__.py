"""The guide's claims, each with the evidence that these results hold for and against it.

A section of the guide is a module with `CLAIMS`; a further claim is one function and one entry there.
"""

from __future__ import annotations

from functools import lru_cache

from bench.analysis.results import Results
from bench.report.claims import flow, lora, need, outlook, practice, qlora, serving, versus
from bench.report.claims.claim import Claim, Judged, judge

SECTIONS = (need, lora, qlora, versus, flow, practice, serving, outlook)
CLAIMS: tuple[Claim, ...] = tuple(
    sorted((claim for section in SECTIONS for claim in section.CLAIMS), key=lambda claim: claim.id)
)


@lru_cache(maxsize=1)  # the first page counts them, and their own shows them
def judged(results: Results) -> list[Judged]:
    """Return every claim with its evidence and verdict, in their order."""
    return [judge(claim, results) for claim in CLAIMS]


__all__ = ["CLAIMS", "Claim", "Judged", "judged"]
