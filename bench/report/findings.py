"""The headline findings: sentences built from the numbers of a comparison, nothing typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.match import Comparison
from bench.report.comparison import comparison_table, device_label
from bench.report.summary import method_label, model_label
from bench.report.tables import Cell

Part = str | Cell


@dataclass(frozen=True, slots=True)
class Finding:
    """One method's headline: words and numbers in reading order."""

    method: str
    kind: str
    parts: tuple[Part, ...]


CLAUSES = (
    ("Training speed against Full", ("trains at ", " the speed of Full")),
    ("Peak tensor memory against Full", ("peaks at ", " of its tensor memory")),
    ("Accuracy against Full", ("reaches ", " of its accuracy")),
    ("Inference against Full", ("generates at ", " its speed")),
)


def findings(found: Comparison) -> tuple[Finding, ...]:
    """Return one finding for each of LoRA and QLoRA that has at least one ratio to Full."""
    rows = {str(row["row"].value): row for row in comparison_table(found).rows}
    made = []
    for method in ("lora", "qlora"):
        clauses = [(rows[row][method], words) for row, words in CLAUSES if rows[row][method].is_number]
        if clauses:
            made.append(Finding(method, found.kind.value, tuple(_sentence(found, method, clauses))))
    return tuple(made)


def _sentence(found: Comparison, method: str, clauses: Sequence[tuple[Cell, tuple[str, str]]]) -> Iterator[Part]:
    yield f"{method_label(method)} "
    for place, (cell, (before, after)) in enumerate(clauses):
        yield ("" if place == 0 else " and " if place == len(clauses) - 1 else ", ") + before
        yield cell
        yield after
    yield f" when fine-tuning {model_label(found.model)} on {device_label(found)}."
