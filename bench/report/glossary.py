"""Every metric in one table: name, unit, direction, noise, where it exists, what it is."""

from __future__ import annotations

from collections.abc import Mapping

from bench.analysis.gate.rules import margin_in_words
from bench.report.render import to_markdown
from bench.report.tables import Cell, Column, Table
from bench.schema.catalogue import DEVICES
from bench.schema.metrics import METRICS, Metric

COLUMNS = (
    Column("name", "name"), Column("label", "label"), Column("unit", "unit"), Column("better", "better"),
    Column("noise", "noise"), Column("margin", "a change from"), Column("devices", "where"),
    Column("raw", "read off", detail=True), Column("about", "what it is", detail=True),
)  # fmt: skip
NOTES = (
    "Unit: base units as records, CSV and JSON hold them; Cel is degrees Celsius, 1 a plain number.",
    "Noise: exact, equal in every run; near-exact; noisy, a timing; stochastic, depends on the seed.",
    "A change from: what two versions have to differ by before it counts (docs/comparisons.md); a share of the old "
    "value, of accuracies percentage points; empty: shown and not judged.",
    "Read off: computed when read, from the raw numbers of this name in the record; else written by the run.",
)
WHERE_TO_READ = "What each one is, where it comes from and what it misses: --format markdown, or docs/metrics.md."


def glossary() -> Table:
    """One row a metric, in the order of `METRICS`."""
    rows = tuple(_row(name, metric) for name, metric in METRICS.items())
    return Table("Metrics", COLUMNS, rows, NOTES)


def document() -> str:
    """Write docs/metrics.md: the glossary as Markdown under a heading of its own."""
    heading, _, rest = to_markdown(glossary()).partition("\n")
    return f"{heading.removeprefix('##')}\n{rest}"


def _row(name: str, metric: Metric) -> Mapping[str, Cell]:
    devices = ", ".join(DEVICES[device].label for device in metric.devices)
    return {
        "name": Cell(name),
        "label": Cell(metric.label),
        "unit": Cell(metric.unit),
        "better": Cell(metric.better),
        "noise": Cell(metric.noise),
        "margin": Cell(margin_in_words(name, metric)),
        "devices": Cell(devices or "everywhere"),
        "raw": Cell(metric.raw or ""),
        "about": Cell(metric.about),
    }
