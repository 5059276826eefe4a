"""What a run of a comparison says of its place in it: which pair, and whether it screens or confirms."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Self

import msgspec

from bench.schema.catalogue import Scalar

PREFIX = "pair."
"""Facts of an environment that say so."""
BROUGHT = {"torch": ("nvidia-", "triton")}
"""Beginnings of the names of packages that another one brings along; they are tested with it."""
ANY = "all"
"""Lets every package differ."""


class Stage(StrEnum):
    """What a run of a comparison is for."""

    WARM_UP = "warm-up"  # the first of an environment; it counts for nothing
    SCREEN = "screen"
    CONFIRM = "confirm"  # fresh pairs of what looked changed


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A run's place in a comparison. Two runs are a pair when all of it is the same and their sides differ."""

    comparison: str
    """Which comparison it was made for: a name that no other has."""
    attempt: int
    """Which go at it, counted from 0: after an interruption half a pair is not paired with what comes much later."""
    stage: Stage
    number: int
    """Which pair of its case, counted from 0 over both stages."""
    position: int
    """Which run of its attempt, counted from 0."""
    under_test: str
    """Packages whose versions are compared, separated by commas; only those may differ."""
    tested: str = ""
    """What this side has of them, in words: names, versions, and of what came from no index which files."""

    def facts(self) -> dict[str, Scalar]:
        """Return what a record's environment holds of it."""
        return {f"{PREFIX}{name}": getattr(self, name) for name in self.__struct_fields__}

    @classmethod
    def of(cls, environment: Mapping[str, Scalar]) -> Self | None:
        """Read it from a record's environment; None where the run was made for no comparison."""
        found = {name.removeprefix(PREFIX): fact for name, fact in environment.items() if name.startswith(PREFIX)}
        try:
            return msgspec.convert(found, cls)
        except msgspec.ValidationError:
            return None

    @property
    def pair(self) -> tuple[str, int, Stage, int]:
        """What both runs of a pair share, and no other run of their case has."""
        return self.comparison, self.attempt, self.stage, self.number


def normalised(package: str) -> str:
    """Write a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def may_differ(package: str, tested: Collection[str]) -> bool:
    """Tell whether a package is one of `tested`, or comes with one of them; "all" lets every one differ."""
    names = {normalised(name) for name in tested}
    package = normalised(package)
    brought = tuple(start for name in names for start in BROUGHT.get(name, ()))
    return ANY in names or package in names or package.startswith(brought)
