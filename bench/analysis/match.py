"""Find the cases that differ by method alone, so that their ratio says something about the method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bench.analysis.cases import Case, is_headline, newest, ran
from bench.schema import Kind
from bench.schema.catalogue import METHODS

COMPARED = ("full", "lora", "qlora")
FREE = ("method", "options", "learning_rate", "warmup_ratio", "merge", "seed", "device", "timeout_s")
"""Settings that may differ between methods: each trains at rates that suit it, and only an adapter can be merged."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Cases by method on equal work; a method without a run is missing."""

    cases: Mapping[str, Case]

    @property
    def differing_rates(self) -> dict[str, float]:
        """Learning rate by method, empty when all train at the same one."""
        rates = {method: case.config.learning_rate for method, case in self.cases.items()}
        return rates if len(set(rates.values())) > 1 else {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Full, LoRA and QLoRA on one device and model: `speed` on fixed shapes, `learning` with a test set."""

    device: str
    kind: Kind
    model: str
    speed: Matched
    learning: Matched


def comparisons(cases: Sequence[Case]) -> list[Comparison]:
    """Build one comparison per (device, kind, model) that has runs of at least one method, in the order of `cases`.

    Predictions and published numbers are never compared here: they have no speed, and tables of their own.
    Fixed-shape cases (`packing`) decide speed and memory, cases with `evaluate_items`
    accuracy and generation. Of several groups of equal work the one with most methods
    that have a good run is taken, then the one with most methods, most scored test items, most good runs, the most
    recent; of a method's cases in it the one with the method's own defaults, most good runs, the most recent.
    """
    found: dict[tuple[str, Kind, str], list[Case]] = defaultdict(list)
    for case in newest(ran(cases)):
        if case.config.method in COMPARED and is_headline(case):
            found[case.device, case.kind, case.config.model].append(case)
    return [
        Comparison(
            *key,
            speed=_best(group, lambda case: case.config.packing),
            learning=_best(group, lambda case: case.config.evaluate_items > 0),
        )
        for key, group in found.items()
        if any(case.config.packing or case.config.evaluate_items for case in group)
    ]


def _best(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> Matched:
    groups: dict[bytes, dict[str, Case]] = defaultdict(dict)
    for case in cases:
        if not wanted(case):
            continue
        group = groups[_work(case)]
        other = group.get(case.config.method)
        if other is None or _choice(case) > _choice(other):
            group[case.config.method] = case
    if not groups:
        return Matched({})
    best = max(groups.values(), key=_rank)
    return Matched({method: best[method] for method in COMPARED if method in best})


def _choice(case: Case) -> tuple[bool, bool, int, str]:
    """Of a method's cases that have run, prefer the method's own defaults, then most good runs, then the newest."""
    known = METHODS[case.config.method].options
    as_it_starts = all(name in known and value == known[name].default for name, value in case.config.options.items())
    return bool(case.ok), as_it_starts, len(case.ok), case.latest


def _rank(group: Mapping[str, Case]) -> tuple[int, int, int, int, str]:
    cases = group.values()
    items, runs = sum(len(c.ok) * c.config.evaluate_items for c in cases), sum(len(c.ok) for c in cases)
    return sum(bool(c.ok) for c in cases), len(group), items, runs, max(c.latest for c in cases)


def _work(case: Case) -> bytes:
    """What two cases must share to be compared: software and every setting that is not free."""
    settings = {k: v for k, v in msgspec.to_builtins(case.config).items() if k not in FREE}
    return msgspec.json.encode([settings, case.stack], order="sorted")
