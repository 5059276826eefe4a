"""A comparison of two sides: what they are, what was found, how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from bench.analysis.gate.judge import Wanted, every, findings
from bench.analysis.gate.sides import is_compared, twins
from bench.analysis.gate.verdicts import Exit, Finding, Verdict, ending
from bench.schema.catalogue import Scalar
from bench.store import Stored, Unreadable

TOLD = ("python", "package.", "ftbench.code", "gpu.name", "gpu.driver", "cpu.model", "pair.tested")
"""Facts that say what a side was."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its name as it was asked for, its runs, and files of it that are no records."""

    name: str
    runs: tuple[Stored, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def facts(self) -> dict[str, tuple[Scalar, ...]]:
        """Return what its runs say of their devices and software; several values where they differ."""
        found: dict[str, dict[Scalar, None]] = {"device": {}}
        for run in self.runs:
            found["device"][run.record.device] = None
            for name, fact in run.record.environment.items():
                if name.startswith(TOLD):
                    found.setdefault(name, {})[fact] = None
        return {name: tuple(values) for name, values in sorted(found.items())}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is told of two sides."""

    old: Side
    new: Side
    findings: tuple[Finding, ...]
    strict: bool
    unmatched: tuple[str, ...] = ()
    """What was acknowledged and nothing was found of."""

    @property
    def ending(self) -> Exit:
        """How it ends; see `Exit`."""
        invalid = bool(self.old.unreadable or self.new.unreadable)
        return ending(self.findings, invalid=invalid, strict=self.strict)

    def counts(self) -> dict[Verdict, int]:
        """Return how many findings there are of each verdict, those that exist."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in Verdict if found[verdict]}

    def differences(self) -> dict[str, tuple[str, str]]:
        """Return the facts of the sides that differ, in words."""
        old, new = self.old.facts(), self.new.facts()
        words = {name: tuple(", ".join(map(str, side.get(name, ("absent",)))) for side in (old, new))
                 for name in sorted(old.keys() | new.keys())}  # fmt: skip
        return {name: (before, after) for name, (before, after) in words.items() if before != after}

    def not_compared(self) -> int:
        """Return how many records are of a kind that is not compared: predicted, published or made up."""
        return sum(not is_compared(run.record) for side in (self.old, self.new) for run in side.runs)


def compare(
    old: Side,
    new: Side,
    *,
    wanted: Wanted = every,
    allowed: Collection[str] = (),
    acknowledged: Collection[str] = (),
    strict: bool = False,
    across_devices: bool = False,
) -> Comparison:
    """Compare two sides case by case and metric by metric.

    `acknowledged` names changes that are known and wanted: a metric, or a case and a metric with a space between, or
    device/case and a metric. They are told, and do not fail. For the rest see `judge.findings` and `sides.twins`.
    """
    found = findings(twins(old.runs, new.runs, across_devices=across_devices), wanted, allowed)
    told = tuple(replace(one, acknowledged=bool(_names(one) & set(acknowledged))) for one in found)
    used = {name for one in told if one.acknowledged for name in _names(one)}
    return Comparison(old, new, told, strict, tuple(name for name in acknowledged if name not in used))


def _names(found: Finding) -> set[str]:
    """Return how a finding may be acknowledged."""
    return {found.metric, f"{found.case} {found.metric}", f"{found.device}/{found.case} {found.metric}"}
