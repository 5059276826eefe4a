"""Every metric is explained, and docs/metrics.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from bench.report.glossary import document, glossary
from bench.schema.metrics import METRICS

ROOT = Path(__file__).parent.parent.parent


def test_the_document_is_what_the_code_writes() -> None:
    """docs/metrics.md is up to date; `ftbench metrics --format markdown` writes it."""
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == document()


def test_every_metric_is_there_with_all_that_is_said_of_it() -> None:
    """One row each, in order, with unit, direction, noise, devices and a sentence."""
    rows = glossary().rows
    assert [row["name"].text for row in rows] == list(METRICS)
    for row, metric in zip(rows, METRICS.values(), strict=True):
        assert [row[key].text for key in ("label", "unit", "better", "noise", "about")] == [
            metric.label, metric.unit, metric.better, metric.noise, metric.about,
        ]  # fmt: skip
        assert (row["devices"].text == "everywhere") is not bool(metric.devices)
        assert metric.about.endswith(".")


def test_no_two_metrics_share_a_label() -> None:
    """A label names one metric: tables show labels alone."""
    labels = [metric.label for metric in METRICS.values()]
    assert sorted({label for label in labels if labels.count(label) > 1}) == []
