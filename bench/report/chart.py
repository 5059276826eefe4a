"""A chart: a Plotly figure, the sentence that says what it shows, and the table of its numbers.

Colours and markers belong to methods and never change; the colours keep a contrast of at
least 3:1 on the light and on the dark background. Text is escaped, because Plotly reads
a little HTML.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from bench.report.tables import Table

GIB = 2**30
LOOKS: Mapping[str, tuple[str, str, str]] = MappingProxyType({
    "full": ("#0072B2", "circle", "solid"),
    "lora": ("#D55E00", "square", "dash"),
    "qlora": ("#009E73", "diamond", "dot"),
})  # fmt: skip
OTHER_LOOK = ("#CC79A7", "x", "dashdot")
RUN_LOOKS = (("#0072B2", "solid"), ("#D55E00", "dash"), ("#009E73", "dot"), ("#CC79A7", "dashdot"))
FEW_NAMES, SHORT_NAME = 3, 12
"""Names of a legend, and letters of a name below, that a phone has room for; more make a chart higher there."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure (Plotly JSON), the sentence that says what it shows, and the same numbers as a table."""

    key: str
    finding: str
    figure: Mapping[str, Any]
    table: Table

    @property
    def sizes(self) -> str:
        """What CSS needs to know: the figure's own height, many names of a legend, letters of long names below."""
        layout, traces = self.figure["layout"], self.figure["data"]
        named = [trace for trace in traces if trace.get("name") and trace.get("showlegend", True)]
        below = [len(name) for trace in traces if trace.get("orientation") != "h" for name in trace.get("x", ())
                 if isinstance(name, str)]  # fmt: skip
        letters = max(below, default=0)
        known = {
            "height": f"{layout['height']}px" if "height" in layout else None,
            "names": len(named) if len(named) > FEW_NAMES and layout.get("showlegend", True) else None,
            "letters": letters if letters > SHORT_NAME else None,
        }
        return "; ".join(f"--{name}: {value}" for name, value in known.items() if value is not None)


def label(text: str) -> str:
    """Escape text for Plotly, so that it shows literally."""
    return html.escape(text, quote=False)


DIGITS = 5
"""Significant digits of what is drawn; tables behind charts have the numbers whole."""


def drawn(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> dict[str, Any]:
    """Check traces and layout with Plotly and return them as JSON-ready data.

    Of lists their beginnings are checked, as all their elements are alike, and of figures that differ in the
    numbers of their lists but one.
    """
    figure = {"data": [_rounded(trace) for trace in traces], "layout": dict(layout)}
    _check(json.dumps(_begun(figure)))
    return figure


@lru_cache(maxsize=256)
def _check(figure: str) -> None:
    """Let Plotly look at a figure; it raises `ValueError` for what it does not know."""
    from plotly.graph_objects import Figure

    Figure(json.loads(figure))


def _begun(item: Any) -> Any:
    """Keep of every list of numbers and words two elements at most, and of fractions among them that they are some."""
    if isinstance(item, dict):
        return {name: _begun(value) for name, value in item.items()}
    if not isinstance(item, list):
        return item
    if any(isinstance(one, dict) for one in item):
        return [_begun(value) for value in item]
    return [1.0 if isinstance(value, float) else _begun(value) for value in item[:2]]


def _rounded(item: Any) -> Any:
    """Keep so many digits of every fraction in a trace."""
    if isinstance(item, float):
        return float(f"{item:.{DIGITS}g}")
    if isinstance(item, dict):
        return {name: _rounded(value) for name, value in item.items()}
    return [_rounded(value) for value in item] if isinstance(item, (list, tuple)) else item
