"""All that was read, with what many readers ask of it found once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.analysis import cases as found
from bench.analysis import match, predictions
from bench.analysis.cases import Case
from bench.errors import RecordFormatError
from bench.schema import Kind, comparison
from bench.schema.comparison import ComparisonFact
from bench.store import Unreadable

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What a comparison's file may be called: it becomes a part of pages' addresses."""


@dataclass(frozen=True, eq=False)
class Results:
    """The cases of a results folder, and the comparisons that were kept in it, by name."""

    cases: Sequence[Case]
    comparisons: dict[str, ComparisonFact] = field(default_factory=dict)

    @cached_property
    def ran(self) -> list[Case]:
        """The cases that runs stand for, newest software stack only."""
        return found.newest(found.ran(self.cases))

    @cached_property
    def predicted(self) -> list[Case]:
        """The predicted cases, newest software stack only."""
        return [case for case in found.newest(self.cases) if case.kind is Kind.PREDICTED]

    @cached_property
    def published(self) -> list[Case]:
        """The published cases."""
        return [case for case in self.cases if case.kind is Kind.PUBLISHED]

    @cached_property
    def matched(self) -> list[match.Comparison]:
        """Full, LoRA and QLoRA side by side, one for every device and model that any of them ran well on.

        Where none ran well anywhere, all of them: how they ended is the result then.
        """
        found = match.comparisons(self.cases)
        good = [
            one for one in found if any(case.ok for case in (*one.speed.cases.values(), *one.learning.cases.values()))
        ]
        return good or found

    @cached_property
    def checks(self) -> list[predictions.Check]:
        """Predictions beside what is known of the same case on the same card."""
        return predictions.checks(self.cases)

    @cached_property
    def is_dry(self) -> bool:
        """Whether the numbers are made up."""
        return any(case.kind is Kind.DRY for case in self.cases)

    @cached_property
    def latest(self) -> str:
        """When the newest run started, in UTC; empty without one."""
        return max((case.latest for case in self.cases), default="")


def read(root: Path) -> tuple[Results, list[Unreadable]]:
    """Read everything below `root`, and what of it is no record and no comparison.

    Raises `StoreError` if `root` does not exist.
    """
    stored, unreadable = found.read(root)
    comparisons: dict[str, ComparisonFact] = {}
    for file in sorted((root / comparison.FOLDER).glob("*.json")):
        if not NAME.fullmatch(file.stem):
            unreadable.append(
                Unreadable(file, "its name may have letters, digits, dots, dashes and underscores alone.")
            )
            continue
        try:
            comparisons[file.stem] = comparison.decode(file.read_bytes())
        except (RecordFormatError, OSError) as error:
            unreadable.append(Unreadable(file, str(error)))
    return Results(found.group(stored), comparisons), unreadable
