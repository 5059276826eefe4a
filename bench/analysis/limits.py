"""The largest work that fits: cases that differ by one size only, some of which went well and some found no memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from bench.analysis.cases import Case
from bench.schema import Status
from bench.store import Stored

SETTINGS = ("batch_size", "sequence_length")


@dataclass(frozen=True)
class Family:
    """Cases on one device, of one kind and under one stack that differ by `setting` only, smallest first."""

    setting: str
    cases: tuple[Case, ...]

    def size(self, case: Case) -> int:
        """Return what a case has for the setting."""
        return _size(case, self.setting)

    @property
    def fails(self) -> Case | None:
        """The smallest case that found no memory, in any of its runs; None if all had enough."""
        return next((case for case in self.cases if shortages(case)), None)

    @property
    def fits(self) -> Case | None:
        """The largest case that went well and is smaller than all that found no memory; None if none is."""
        fails = self.fails
        good = [case for case in self.cases if case.ok and (fails is None or self.size(case) < self.size(fails))]
        return good[-1] if good else None

    @property
    def contradicts(self) -> Case | None:
        """A case that went well although it is as large as one that found no memory, or larger."""
        fails = self.fails
        good = [case for case in self.cases if case.ok and fails is not None and self.size(case) >= self.size(fails)]
        return good[-1] if good else None

    @property
    def gap(self) -> int | None:
        """How far the smallest that fails is above the largest that fits: 1 is exact."""
        fits, fails = self.fits, self.fails
        return self.size(fails) - self.size(fits) if fits and fails else None


def shortages(case: Case) -> list[Stored]:
    """Return the runs of a case that found no memory, oldest first."""
    return [run for run in case.runs if run.record.status is Status.OOM]


def families(cases: Iterable[Case]) -> list[Family]:
    """Return the families of at least two sizes, by batch size first; cases of other endings tell nothing and are out.

    Everything else is equal, steps and inspection too: they decide what must fit.
    """
    telling = [case for case in cases if case.ok or shortages(case)]
    return [family for setting in SETTINGS for family in _families(telling, setting)]


def _families(cases: Sequence[Case], setting: str) -> list[Family]:
    groups: dict[tuple[object, ...], list[Case]] = defaultdict(list)
    for case in cases:
        others = replace(case.config, **{setting: 1}).identity
        groups[case.device, case.kind, case.stack, others].append(case)
    found = (tuple(sorted(group, key=lambda case: _size(case, setting))) for group in groups.values())
    return [Family(setting, group) for group in found if len(group) > 1]


def _size(case: Case, setting: str) -> int:
    size: int = getattr(case.config, setting)
    return size
