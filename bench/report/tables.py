"""A table, declared once: rows of cells that know their raw value, interval, kind and source.

`bench.report.render` shows one as text, Markdown, CSV and JSON; the pages show the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.analysis.cases import Case, estimate
from bench.analysis.stats import Estimate
from bench.analysis.values import NOT_ASKED
from bench.report.display import shown, unit_of
from bench.schema.metrics import METRICS

LONGEST_REASON = 120  # characters of a reason in a cell; the case's page has all of it


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry: a raw value in base units (`None`: absent, `reason` says why), or words.

    `kind` is measured, predicted, published, derived or dry; empty for words that are no
    finding. `brief` stands for a long reason. `link` is a path below the site's root; `runs` and `against` are the
    device/case/run of the records the value comes from (`against`: a ratio's lower side).
    """

    value: float | str | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    n: int = 0
    how: str = ""
    kind: str = ""
    link: str = ""
    reason: str = ""
    brief: str = ""
    metric: str = ""
    runs: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The cell as people read it."""
        if self.value is None:
            return self.brief or absent(self.reason)
        return self.value if isinstance(self.value, str) else shown(self.value, self.unit, self.low, self.high)

    @property
    def is_number(self) -> bool:
        """Whether the cell holds a finding in figures."""
        return isinstance(self.value, (int, float))

    @property
    def number(self) -> float:
        """The finding in figures; nan where the cell holds none."""
        return float(self.value) if isinstance(self.value, (int, float)) else float("nan")


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `detail` ones are left out where width is short (terminal and pages), `about` explains."""

    key: str
    label: str
    about: str = ""
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows map column keys to cells; a key that a row lacks is an empty cell. `notes` belong below."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]
    notes: tuple[str, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict)


def absent(reason: str) -> str:
    """Say that there is no number, and why, in as many words as a cell holds."""
    if reason in ("", NOT_ASKED):
        return "not asked for" if reason else "not measured"
    cut = reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
    return f"not measured: {cut}"


def case_page(case: Case) -> str:
    """Return the path of a case's page below the site's root."""
    return f"cases/{case.device}/{case.name}.html"


def ending(case: Case) -> str:
    """Say in two words how the runs of a case ended when the numbers of none stand; empty when one's do."""
    if case.answers:
        return ""
    last = case.failed[-1].record
    return f"{last.status.value} in {last.failure.phase}" if last.failure else last.status.value


def sources(case: Case) -> tuple[str, ...]:
    """Return the device/case/run of every run of a case whose numbers stand."""
    return case.addresses


def estimated(case: Case, metric: str) -> Cell:
    """Return the cell of a metric summarised over the runs of a case that count, or its reason for absence."""
    found = estimate(case, metric)
    unit = unit_of(metric, METRICS[metric].unit)
    if found is None:
        return Cell(None, unit, link=case_page(case), reason=case.reason(metric), brief=ending(case), metric=metric)
    return from_estimate(found, unit, case, metric)


def from_estimate(found: Estimate, unit: str, case: Case, metric: str) -> Cell:
    """Return the cell of an estimate over runs of `case`."""
    return Cell(
        found.value, unit, found.low, found.high, found.n, found.how,
        kind=case.kind.value, link=case_page(case), metric=metric, runs=sources(case),
    )  # fmt: skip
