"""A claim of the guide, and the evidence for and against it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.analysis.cases import Case
from bench.analysis.claims import Verdict, lies, verdict
from bench.analysis.results import Results
from bench.report.comparison import hardware
from bench.report.summary import model_label, task_label
from bench.report.tables import Cell
from bench.schema.catalogue import NONE


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number: what it is of, and whether the claim holds in it; None where it does not decide."""

    what: str
    cell: Cell
    holds: bool | None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the guide says, in our words; where; what would test it; and how its evidence is found.

    `question` names the question whose page has the charts and tables behind it; `test` is a command. `remark` says
    what is wrong with the claim itself.
    """

    id: str
    section: str
    said: str
    test: str
    evidence: Callable[[Results], Iterable[Evidence]]
    question: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what these results say of it."""

    claim: Claim
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict:
        """What all evidence together says."""
        return verdict(one.holds for one in self.evidence)


def judge(claim: Claim, results: Results) -> Judged:
    """Find a claim's evidence; numbers that are absent are none."""
    return Judged(claim, tuple(one for one in claim.evidence(results) if one.cell.value is not None))


def exact(
    what: str, cell: Cell, least: float = -math.inf, most: float = math.inf, case: Case | None = None
) -> Evidence:
    """Judge a number that does not vary between runs: counted, predicted or derived."""
    return Evidence(what, cell, lies(cell.number, cell.low, cell.high, least, most), where(case))


def varying(
    what: str, cell: Cell, least: float = -math.inf, most: float = math.inf, case: Case | None = None
) -> Evidence:
    """Judge a number that varies between runs; without an interval it does not decide."""
    decides = cell.low is not None and cell.high is not None
    return Evidence(what, cell, lies(cell.number, cell.low, cell.high, least, most) if decides else None, where(case))


def beside(what: str, cell: Cell, case: Case | None = None) -> Evidence:
    """Show a number that is near the claim and does not decide it."""
    return Evidence(what, cell, None, where(case))


def where(case: Case | None) -> str:
    """Name the model, the task and the device that a number is of."""
    if case is None:
        return ""
    config = case.config
    parts = [model_label(config.model) if config.model != NONE else "", hardware(case)]
    if config.evaluate_items and config.task != NONE:
        parts.insert(1, task_label(config.task))
    return ", ".join(filter(None, parts))
