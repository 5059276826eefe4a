"""Runs of one case on one device, under one software stack; never pooled across any of these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import store
from bench.analysis import adapters, inference, stats
from bench.analysis.stats import Estimate
from bench.analysis.values import is_answer, reason, value
from bench.schema import Kind, RunConfig, Status
from bench.schema.catalogue import METHODS
from bench.schema.metrics import METRICS
from bench.schema.models import MODELS
from bench.schema.record import STACK
from bench.schema.studies import TRAINING
from bench.store import Stored, Unreadable

ITEMS = {"evaluate.accuracy_before": "before", "evaluate.accuracy": "after", "merging.accuracy": "merged"}
RATIOS = {**inference.SLOWDOWN, **adapters.SLOWDOWN}
"""Ratios of two things in turns, whose intervals come from blocks of turns."""
RAN = (Kind.MEASURED, Kind.DRY)
"""Kinds of records that a run left behind, real or made up; a folder never holds both."""


@dataclass(frozen=True)
class Case:
    """What was measured, where, of which kind, under which versions; and its runs, oldest first."""

    device: str
    kind: Kind
    name: str
    stack: tuple[tuple[str, str], ...]
    runs: tuple[Stored, ...]

    @property
    def config(self) -> RunConfig:
        """The config of the newest run; the others differ from it by seed, device or timeout only."""
        return self.runs[-1].record.config

    @cached_property
    def ok(self) -> tuple[Stored, ...]:
        """The runs that went well."""
        return tuple(run for run in self.runs if run.record.status is Status.OK)

    @cached_property
    def failed(self) -> tuple[Stored, ...]:
        """The runs that did not go well; each is a result too."""
        return tuple(run for run in self.runs if run.record.status is not Status.OK)

    @cached_property
    def answers(self) -> tuple[Stored, ...]:
        """The runs whose numbers stand; of predictions the newest alone, as they differ by the code that made them."""
        found = tuple(run for run in self.runs if is_answer(run.record))
        return found[-1:] if self.kind is Kind.PREDICTED else found

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The device/case/run of every run whose numbers stand."""
        return tuple(found.address for found in self.answers)

    @cached_property
    def estimates(self) -> dict[str, Estimate | None]:
        """What was asked of `estimate` so far: pages ask the same again and again."""
        return {}

    @property
    def latest(self) -> str:
        """When the newest run started, in UTC."""
        return self.runs[-1].record.started

    def values(self, metric: str) -> list[float]:
        """The metric of every run whose numbers stand and that holds it, in base units, oldest run first."""
        found = (value(run.record, metric) for run in self.answers)
        return [number for number in found if number is not None]

    def items(self, name: str) -> list[str]:
        """Per-item correctness of every run that went well, a string of 0 and 1 each."""
        return [run.record.items[name] for run in self.ok if run.record.items.get(name)]

    def reason(self, metric: str) -> str:
        """Why no run whose numbers stand holds the metric."""
        asked = self.answers or self.failed
        return reason(asked[-1].record, metric)


def estimate(case: Case, metric: str) -> Estimate | None:
    """Summarise a metric over the runs of a case whose numbers stand; `None` if none holds it.

    Accuracies with Wilson's interval over items; ratios of turns with a bootstrap over blocks of them;
    positive timings, speeds and bytes as geometric means; other numbers as means. Raises `UnknownNameError`.
    """
    if metric not in case.estimates:
        case.estimates[metric] = _estimate(case, metric)
    return case.estimates[metric]


def _estimate(case: Case, metric: str) -> Estimate | None:
    if metric in ITEMS and case.items(ITEMS[metric]):
        return stats.accuracy(case.items(ITEMS[metric]))
    if metric in RATIOS:
        return RATIOS[metric]([run.record for run in case.answers])
    values = case.values(metric)
    if values and min(values) > 0 and METRICS[metric].unit != "1":
        return stats.geometric_mean(values)
    if values and len(set(values)) == 1 and len(values) > 1:
        return Estimate(values[0], values[0], values[0], len(values), f"equal in all {len(values)} runs")
    return stats.mean(values)


def read(root: Path) -> tuple[list[Stored], list[Unreadable]]:
    """Read every record below `root`; a record in another case's folder counts as unreadable.

    Raises `StoreError` if `root` does not exist.
    """
    stored, unreadable = store.read(root)
    right: list[Stored] = []
    for found in stored:
        device, case = found.record.device, found.record.case
        if (found.path.parent.parent.name, found.path.parent.name) == (device, case):
            right.append(found)
        else:
            unreadable.append(Unreadable(found.path, f"belongs into {device}/{case}; a record is never moved."))
    return right, unreadable


def group(stored: Iterable[Stored]) -> list[Case]:
    """Group runs into cases by device, kind, name and software stack; small models and Full first."""
    groups: dict[tuple[str, Kind, str, tuple[tuple[str, str], ...]], list[Stored]] = defaultdict(list)
    for run in stored:
        record = run.record
        stack = tuple((name, str(record.environment.get(f"package.{name}", "?"))) for name in STACK)
        groups[record.device, record.kind, record.case, stack].append(run)
    cases = [
        Case(*key, runs=tuple(sorted(runs, key=lambda r: (r.record.started, r.run)))) for key, runs in groups.items()
    ]
    return sorted(cases, key=_order)


def is_headline(case: Case) -> bool:
    """Tell whether a case is about a method's speed, memory or learning.

    No study of another question, not a try of a search for what fits, and no experiment with paged state or its
    resident twin: those are not looked into afterwards (`config.inspect`). All have tables of their own.
    """
    config = case.config
    return config.study == TRAINING and config.inspect and config.paging == "none" and not config.uvm_counters


def of_one_kind(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of one kind only: of runs where there are any, else predictions, else published numbers."""
    kind = next((kind for kind in (*RAN, *Kind) if any(case.kind is kind for case in cases)), None)
    return [case for case in cases if case.kind is kind]


def ran(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that runs stand for: no predictions, and nothing published."""
    return [case for case in of_one_kind(cases) if case.kind in RAN]


def newest(cases: Sequence[Case]) -> list[Case]:
    """Of cases that differ only by software stack keep the one with the newest run."""
    best: dict[tuple[str, Kind, str], Case] = {}
    for case in cases:
        key = (case.device, case.kind, case.name)
        if key not in best or case.latest > best[key].latest:
            best[key] = case
    return [case for case in cases if best[case.device, case.kind, case.name] is case]


def _order(case: Case) -> tuple[object, ...]:
    config = case.config
    size = MODELS[config.model].parameters if config.model in MODELS else 0
    method = list(METHODS).index(config.method) if config.method in METHODS else len(METHODS)
    return case.device, case.kind, size, config.model, not config.packing, method, case.name, case.stack
