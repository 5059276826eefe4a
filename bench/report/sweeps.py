"""Sweeps: cases on equal work that differ by a few settings; what each gives and costs beside one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.cases import Case, is_headline, of_one_kind
from bench.analysis.families import families
from bench.report.asked import Told, table
from bench.report.beside import accuracy_cell, ratio_cell, verdict_cell
from bench.report.display import POINTS
from bench.report.summary import work_cell
from bench.report.tables import Cell, Table, case_page

GIVES = {
    "parameters.trainable": "trainable",
    "train.loss_last": "last loss",
    "evaluate.accuracy_before": "accuracy before",
    "evaluate.accuracy": "accuracy",
}
COSTS = {
    "parameters.trainable": "trainable",
    "parameters.trainable_share": "share",
    "save.adapter_bytes": "on disk",
    "train.tokens_per_second": "tokens/s",
    "train.peak_allocated": "peak tensors",
    "train.peak_resident": "peak process",
}
SPEED, TENSORS, PROCESS = "train.tokens_per_second", "train.peak_allocated", "train.peak_resident"
PAIRED = "Differences are paired by test item and seed, against the row called the reference; a tie's interval holds 0."
TRAINED: Told = {
    "trained": ("steps × rate", lambda case: Cell(f"{case.config.steps} × {case.config.learning_rate:g}")),
}
WORK: Told = {"work": ("batch × length", work_cell)}


@dataclass(frozen=True, slots=True)
class Sweep:
    """Cases that differ by the swept settings alone, and the one that the others are held against, if it ran."""

    cases: tuple[Case, ...]
    reference: Case | None


def sweeps(
    cases: Sequence[Case],
    by: Collection[str],
    *,
    wanted: Callable[[Case], bool],
    order: Callable[[Case], Any],
    reference: Callable[[Case], bool],
) -> list[Sweep]:
    """Return the sweeps among the `wanted` trainings of one kind, with at least two values of `order`.

    `by` names the settings that may differ, as in `bench.analysis.families`. Their cases are sorted by `order`.
    """
    chosen = [case for case in of_one_kind(cases) if is_headline(case) and wanted(case)]
    found = [sorted(family, key=order) for family in families(chosen, by)]
    return [
        Sweep(tuple(family), next((case for case in family if reference(case)), None))
        for family in found
        if len({order(case) for case in family}) > 1
    ]


def at_usual_rates(sweep: Sweep, of: Callable[[Case], object]) -> Sweep:
    """Keep one learning rate of everything that is swept, as `of` names it: the one that most others share.

    Another question may have trained one of them at many rates.
    """
    sharing: dict[float, set[object]] = {}
    for case in sweep.cases:
        sharing.setdefault(case.config.learning_rate, set()).add(of(case))
    usual = max(sharing, key=lambda rate: len(sharing[rate]))
    chosen: dict[object, Case] = {}
    for case in sweep.cases:
        if of(case) not in chosen or case.config.learning_rate == usual:
            chosen[of(case)] = case
    kept = tuple(case for case in sweep.cases if chosen[of(case)] is case)
    other = sweep.reference
    return Sweep(kept, chosen[of(other)] if other is not None else None)


def is_scored(case: Case) -> bool:
    """Tell whether a training's test items are scored: such a case is about what is learned."""
    return case.config.evaluate_items > 0


def is_timed(case: Case) -> bool:
    """Tell whether a training has fixed shapes: such a case is about speed and memory."""
    return case.config.packing and not case.config.evaluate_items


def gives(title: str, found: Sequence[Sweep], headings: Told, notes: Iterable[str] = ()) -> Table:
    """Return the table of what the scored cases of sweeps learned, each beside its reference."""
    other = _references(found)

    def beside(case: Case) -> Cell:
        return accuracy_cell(case, other[id(case)]) if id(case) in other else Cell(None, POINTS)

    def word(case: Case) -> Cell:
        if other.get(id(case)) is case:
            return Cell("reference", link=case_page(case))
        return verdict_cell(case, other[id(case)]) if id(case) in other else Cell("")

    more: Told = {"beside": ("against the reference", beside), "word": ("that is", word)}
    return table(title, _cases(found), {**headings, **TRAINED}, GIVES, more=more, notes=(PAIRED, *notes),
                 details=("evaluate.accuracy_before",))  # fmt: skip


def costs(title: str, found: Sequence[Sweep], headings: Told, notes: Iterable[str] = ()) -> Table:
    """Return the table of what the timed cases of sweeps cost, with ratios to their reference."""
    other = _references(found)

    def ratio(metric: str) -> Callable[[Case], Cell]:
        def cell(case: Case) -> Cell:
            return ratio_cell(case, other[id(case)], metric) if other.get(id(case), case) is not case else Cell("")

        return cell

    more: Told = {
        "speed": ("tokens/s, ratio", ratio(SPEED)),
        "tensors": ("peak tensors, ratio", ratio(TENSORS)),
        "process": ("peak process, ratio", ratio(PROCESS)),
    }
    return table(title, _cases(found), {**headings, **WORK}, COSTS, more=more, notes=notes)


def _cases(found: Sequence[Sweep]) -> list[Case]:
    return [case for sweep in found for case in sweep.cases]


def _references(found: Sequence[Sweep]) -> dict[int, Case]:
    return {id(case): sweep.reference for sweep in found for case in sweep.cases if sweep.reference is not None}
