"""What a chart tells the page of its size: its height, and what needs room on a phone."""

from __future__ import annotations

from typing import Any

import pytest

from bench.report.chart import Chart
from bench.report.tables import Table

BARS = {"type": "bar", "x": ["a", "b"], "y": [1, 2]}


@pytest.mark.parametrize(
    ("traces", "layout", "said"),
    [
        ([BARS], {}, ""),
        ([BARS], {"height": 300}, "--height: 300px"),
        ([{**BARS, "name": name} for name in "pqr"], {}, ""),
        ([{**BARS, "name": name} for name in "pqrs"], {"height": 300}, "--height: 300px; --names: 4"),
        ([{**BARS, "name": name} for name in "pqrs"], {"showlegend": False}, ""),
        ([{**BARS, "name": name, "showlegend": name < "s"} for name in "pqrs"], {}, ""),
        ([{**BARS, "x": ["AdamW", "AdamW 32-bit (bitsandbytes)"]}], {}, "--letters: 27"),
        ([{"x": [1, 2], "y": ["a name beside its bar, however long"] * 2, "orientation": "h"}], {}, ""),
    ],
)
def test_only_what_needs_room_is_said(traces: list[dict[str, Any]], layout: dict[str, Any], said: str) -> None:
    """Few names and short ones need none; names beside bars have theirs."""
    assert Chart("key", "finding", {"data": traces, "layout": layout}, Table("", (), ())).sizes == said
