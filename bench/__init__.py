"""Benchmark LLM fine-tuning: a frozen config goes in, one record comes out, everything else is reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pandas import DataFrame

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(root: str | Path = "results") -> DataFrame:
    """Read every record below `root` into a DataFrame, one row a run.

    Columns are the configuration, `kind`, `status`, `case`, `device`, and every
    metric of `bench.schema.metrics.METRICS` under its own name, in base units
    (bytes, seconds, tokens a second); what was not measured is missing (`NaN`).
    """
    from bench.analysis.frame import load as load_frame

    return load_frame(root)
