"""Predictions held against what was measured or published of the same case on the same card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from statistics import median

import msgspec

from bench.analysis.cases import Case, estimate, group, newest, read
from bench.schema import Kind, RunConfig, RunRecord, gpus
from bench.schema.gpus import SKUS, Sku
from bench.schema.studies import TRAINING

UNCHECKED = ("unknown: no prediction of a run that several cards share was held against a measurement yet, and what "
             "NCCL takes beside torch is not in it")  # fmt: skip
"""What is said of the error of a prediction that nothing was held against."""

CHECKED = ("train.peak_allocated", "train.peak_reserved", "train.peak_process")
"""What is checked where both sides hold it; each is compared with the same metric only."""

KNOWN = (Kind.MEASURED, Kind.PUBLISHED)
PLAIN = "Full and the LoRA family"
QUANTISED = "4-bit and 8-bit bases"
FAMILIES = (PLAIN, QUANTISED)
QUANTISED_NAMES = ("qlora", "4bit", "8bit", "int8")
"""Parts of methods' names that tell a quantised base where no model was built."""


@dataclass(frozen=True, slots=True)
class Check:
    """One metric of a predicted case beside a known one: all runs of a measured case, or one published number.

    Values are in the metric's base unit.
    """

    predicted: Case
    known: Case
    metric: str
    predicted_value: float
    known_value: float

    @property
    def error(self) -> float:
        """By what share the prediction is too high; negative where it is too low."""
        return self.predicted_value / self.known_value - 1

    @property
    def family(self) -> str:
        """Which of `FAMILIES` the predicted run belongs to."""
        return family(self.predicted.answers[-1].record)

    def about(self, case: Case) -> bool:
        """Tell whether a case is one of the two sides."""
        return any(_identity(side) == _identity(case) for side in (self.predicted, self.known))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far off the predictions of a family were: median and largest size of the error, over `n` checks.

    `configurations` counts the predicted cases behind them, `measured` and `published` what they were held against.
    """

    family: str
    median: float
    largest: float
    n: int
    configurations: int
    measured: int
    published: int

    @property
    def text(self) -> str:
        """Say it in words that claim no more than n allows.

        If a further configuration is like those checked, its largest error is equally likely to take any rank
        among theirs.
        """
        checks = "1 check" if self.n == 1 else f"{self.n} checks"
        cases = "1 configuration" if self.configurations == 1 else f"{self.configurations} configurations"
        counts = {Kind.PUBLISHED: self.published, Kind.MEASURED: self.measured}
        sources = " and ".join(f"{count} {kind.value}" for kind, count in counts.items() if count)
        return (
            f"median {self.median:.2%}, largest {self.largest:.2%} ({checks} of {cases}, against "
            f"{sources}); another like these is off by more than that with a chance of "
            f"about 1 in {self.configurations + 1}"
        )


def card(case: Case) -> Sku | None:
    """Return the product a case is about; None where it is not certain."""
    if case.kind is Kind.PREDICTED:
        return _called(case.config.device.partition(":")[2])
    if case.kind is Kind.PUBLISHED:
        return _called(case.device)
    found = {gpus.of(run.record.environment) for run in case.runs}
    return found.pop() if len(found) == 1 else None


def _called(slug: str) -> Sku | None:
    return next((sku for sku in SKUS if sku.slug == slug), None)


def checks(cases: Sequence[Case]) -> list[Check]:
    """Pair every predicted case with what is known of the same case on the same card, in the order of `cases`."""
    kept = newest(cases)
    known: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in kept:
        if case.kind in KNOWN and (found := card(case)):
            known[case.name, found.slug].extend(_apart(case))
    return [
        check
        for case in kept
        if case.kind is Kind.PREDICTED and (found := card(case))
        for other in sorted(known[case.name, found.slug], key=lambda other: KNOWN.index(other.kind))
        for check in _checks(case, other)
    ]


def checks_below(root: Path) -> list[Check]:
    """Return the checks of the records below a folder; none where there is no such folder."""
    return checks(group(read(root)[0])) if root.is_dir() else []


def _apart(case: Case) -> list[Case]:
    """Return every published number as a case of its own: two sources are never averaged."""
    return [replace(case, runs=(run,)) for run in case.runs] if case.kind is Kind.PUBLISHED else [case]


def _checks(predicted: Case, known: Case) -> Iterator[Check]:
    for metric in CHECKED:
        ours, theirs = estimate(predicted, metric), estimate(known, metric)
        if ours and theirs and theirs.value > 0:
            yield Check(predicted, known, metric, ours.value, theirs.value)


def _identity(case: Case) -> tuple[object, ...]:
    return case.device, case.kind, case.name, case.stack


def accuracy(found: Iterable[Check]) -> list[Accuracy]:
    """Summarise checks by family; a family without a check is missing."""
    families: dict[str, list[Check]] = {name: [] for name in FAMILIES}
    for check in found:
        families[check.family].append(check)
    return [_accuracy(name, group) for name, group in families.items() if group]


def _accuracy(name: str, found: Sequence[Check]) -> Accuracy:
    errors = [abs(check.error) for check in found]
    known = {(check.known.kind, tuple(run.path for run in check.known.runs)) for check in found}
    kinds = [kind for kind, _ in known]
    return Accuracy(
        family=name, median=median(errors), largest=max(errors), n=len(errors),
        configurations=len({_identity(check.predicted) for check in found}),
        measured=kinds.count(Kind.MEASURED), published=kinds.count(Kind.PUBLISHED),
    )  # fmt: skip


def family(subject: RunRecord | RunConfig) -> str:
    """Return which of `FAMILIES` a run belongs to: by the base it built, or by its method's name before that."""
    config, resolved = (subject.config, subject.resolved) if isinstance(subject, RunRecord) else (subject, {})
    quantization = resolved.get("base.quantization")
    if quantization is None:
        named = config.base != "plain" or any(part in config.method for part in QUANTISED_NAMES)
        return QUANTISED if named else PLAIN
    return PLAIN if quantization == "none" else QUANTISED


def released() -> list[Accuracy]:
    """Return how far off the predictions were whose records this version came with; for folders that have none."""
    text = (resources.files("bench.analysis") / "accuracy.json").read_bytes()
    return msgspec.json.decode(text, type=list[Accuracy])


def expected(subject: RunRecord | RunConfig, found: Iterable[Check]) -> Accuracy:
    """Return how far off predictions like this one were: of `found`, else of this version's own records."""
    return next(one for one in [*accuracy(found), *released()] if one.family == family(subject))


def expected_error(subject: RunRecord | RunConfig, found: Iterable[Check]) -> str:
    """Say what error a reader of this prediction has to expect."""
    config = subject.config if isinstance(subject, RunRecord) else subject
    if config.study != TRAINING:
        return UNCHECKED
    known = expected(subject, found)
    return f"{known.family}: {known.text}"
