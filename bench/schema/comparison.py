"""A comparison of two sides as a file: what was compared, what was found, how it ended."""

from __future__ import annotations

import msgspec

from bench.errors import RecordFormatError
from bench.schema.catalogue import Scalar

# Format history
# 1  first version
COMPARISON_FORMAT = 1

FOLDER = "comparisons"
"""Where comparisons are kept in a results folder; it is no device."""


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """New against old. `of` says whether it is a share of the old value or a difference in the metric's unit."""

    value: float
    of: str
    n: int
    how: str
    low: float | None = None
    high: float | None = None


class FindingFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One verdict, with its numbers in base units and the device/case/run of the records it rests on."""

    case: str
    device: str
    metric: str
    verdict: str
    why: str
    old: float | None = None
    new: float | None = None
    change: Change | None = None
    pairs: int | None = None
    pairs_needed: int | None = None
    acknowledged: bool = False
    old_runs: tuple[str, ...] = ()
    new_runs: tuple[str, ...] = ()
    asked: str = ""


class UnreadableFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of a side that is no record."""

    file: str
    reason: str


class SideFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A side: its name, how many runs it has, and what they say of their devices and software."""

    name: str
    runs: int
    facts: dict[str, tuple[Scalar, ...]]
    unreadable: tuple[UnreadableFact, ...] = ()


class ComparisonFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole comparison; `ending` is one of the words of `bench.analysis.gate.verdicts.Exit`."""

    format: int
    ending: str
    old: SideFact
    new: SideFact
    counts: dict[str, int]
    findings: tuple[FindingFact, ...]


def encode(comparison: ComparisonFact) -> str:
    """Write a comparison as JSON. What is not known is absent, never 0."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode() + "\n"


def decode(data: bytes) -> ComparisonFact:
    """Read a comparison, or raise `RecordFormatError`."""
    try:
        found = msgspec.json.decode(data, type=ComparisonFact)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordFormatError(f"not a comparison: {error}.") from None
    if found.format != COMPARISON_FORMAT:
        raise RecordFormatError(
            f"format {found.format} of a comparison is not the {COMPARISON_FORMAT} that is read here."
        )
    return found
