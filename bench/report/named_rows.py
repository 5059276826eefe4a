"""Charts of named rows, one below the other: what fits a phone where names are long."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from bench.report.chart import label

NAME_WIDTH = 28
"""Letters of a line of a row's name, so that a phone has room for the row."""
LINE_HEIGHT, BETWEEN, AROUND = 17, 12, 130
"""Pixels of a line, between rows, and around all of them."""


def row_name(text: str) -> str:
    """Escape the name of a row and break it into short lines."""
    return "<br>".join(map(label, textwrap.wrap(text, NAME_WIDTH)))


def row_layout(names: Sequence[str], axis: str, bars: int = 1) -> dict[str, Any]:
    """Return the layout of named rows one below the other, the first on top, of `bars` bars each, over `axis`."""
    shown = [row_name(name) for name in names]
    lines = max(bars, *(name.count("<br>") + 1 for name in shown))
    upright = {"autorange": "reversed", "automargin": True, "type": "category", "categoryarray": shown,
               "categoryorder": "array"}  # fmt: skip
    level = {"title": {"text": label(axis)}, "zeroline": True, "zerolinewidth": 2}
    return {"xaxis": level, "yaxis": upright, "height": (LINE_HEIGHT * lines + BETWEEN) * len(shown) + AROUND}
