"""How much runs of one case vary, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import ITEMS
from bench.analysis.gate.noise import Noise
from bench.analysis.gate.rules import margin_in_words
from bench.report.tables import Cell, Column, Table
from bench.schema.metrics import METRICS

COLUMNS = (
    Column("metric", "metric"), Column("typical", "one run varies by", "standard deviation, median over cases"),
    Column("least", "least of a case"), Column("most", "most of a case"), Column("margin", "a change from"),
    Column("cases", "cases"), Column("pairs", "pairs"),
)  # fmt: skip


def table(found: Sequence[Noise], title: str) -> Table:
    """Return a row a metric."""
    return Table(f"Noise of {title}", COLUMNS, tuple(map(_row, found)))


def _row(noise: Noise) -> dict[str, Cell]:
    unit = "points" if noise.metric in ITEMS else "%"

    def spread(number: float) -> Cell:
        words = f"{number * 100:.2f} {unit}"
        return Cell(words, kind="derived", metric=noise.metric)

    return {
        "metric": Cell(noise.metric), "typical": spread(noise.typical), "least": spread(noise.least),
        "most": spread(noise.most), "margin": Cell(margin_in_words(noise.metric, METRICS[noise.metric])),
        "cases": Cell(noise.cases, "count"), "pairs": Cell(noise.pairs, "count"),
    }  # fmt: skip
