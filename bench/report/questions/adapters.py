"""Many adapters in one model: what changing, combining and mixing them costs, and whether the base stays the same."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told, table
from bench.report.chart import Chart
from bench.report.crowds import count, crowds, memory, times, work_label
from bench.report.merges import adapter_on_layers, base_label
from bench.report.tables import Cell, Table, case_page

CHANGED = {
    "adapters.set_seconds": "set",
    "adapters.swap_seconds": "hot-swap",
    "adapters.load_seconds": "load",
    "adapters.delete_seconds": "delete",
    "adapters.save_seconds": "save",
    "adapters.reload_error": "error, loaded",
    "adapters.swap_error": "error, swapped",
}
COMBINED = {
    "adapters.linear_seconds": "linear",
    "adapters.cat_seconds": "cat",
    "adapters.ties_seconds": "TIES",
    "adapters.svd_seconds": "SVD",
}
MIXED = {
    "adapters.single_seconds": "one adapter",
    "adapters.mixed_seconds": "an adapter a row",
    "adapters.mixed_slowdown": "against one",
    "adapters.mixed_error": "largest error of a row",
    "adapters.mixed_change": "adapters differ by",
}
HELD = {
    "adapters.weights": "all adapters",
    "adapters.weights_each": "each",
    "adapters.file_bytes": "its file",
    "adapters.base_weights": "base",
    "adapters.base_unchanged": "base unchanged",
}
CHANGED_NOTE = (
    "Set: another adapter of the model becomes the active one. Hot-swap: a file's weights over an adapter's. Load: a "
    "file as one adapter more. Errors: largest difference of a logit from the adapter that was meant."
)
MIXED_NOTE = (
    "Rows have the adapters in turn (adapter_names). An error as large as the adapters differ by means that rows did "
    "not get their own adapters."
)
HELD_NOTE = (
    "Unchanged: share of the base's tensors that are bit for bit what they were, after everything in these tables and "
    "again once all adapters were unloaded."
)


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return four tables, one row a case each: changing, combining, mixing, holding."""
    kept = crowds(cases)
    several = [case for case in kept if count(case) > 1]
    batch: Told = {**HEADINGS, "work": ("sequences × length", lambda case: Cell(work_label(case)))}
    return [
        table("What changing adapters costs", kept, HEADINGS, CHANGED, notes=(CHANGED_NOTE,)),
        table("What combining adapters into one costs", several, HEADINGS, COMBINED),
        table("What a batch of different adapters costs", kept, batch, MIXED, notes=(MIXED_NOTE,)),
        table("What adapters hold, and what they leave as it was", kept, HEADINGS, HELD, notes=(HELD_NOTE,)),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return seconds and bytes by the number of adapters."""
    kept = crowds(cases)
    return [chart for chart in (times(kept), memory(kept)) if chart is not None]


HEADINGS: Told = {
    "base": ("base", lambda case: Cell(base_label(case))),
    "adapter": ("adapter", lambda case: Cell(adapter_on_layers(case), link=case_page(case))),
    "count": ("adapters", lambda case: Cell(str(count(case)))),
}
