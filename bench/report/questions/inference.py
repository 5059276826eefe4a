"""What an adapter costs when text is generated: time to first token and per token, memory, against its base."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told, table
from bench.report.chart import Chart
from bench.report.generation import STATES, generations, served_label, slowdowns, speeds, state, work_label
from bench.report.merges import base_label
from bench.report.tables import Cell, Table, case_page

TIME = {
    "inference.first_token_seconds": "first token",
    "inference.base_first_token_seconds": "first token, base",
    "inference.first_token_slowdown": "first token against base",
    "inference.token_seconds": "per token",
    "inference.base_token_seconds": "per token, base",
    "inference.slowdown": "per token against base",
    "inference.tokens_per_second": "tokens/s",
    "inference.base_tokens_per_second": "tokens/s, base",
}
HELD = {
    "inference.weights": "weights",
    "inference.base_weights": "weights, base",
    "inference.cache_bytes": "key-value cache",
    "inference.cache_formula": "cache by formula",
    "infer.peak_allocated": "peak tensors",
    "infer.peak_reserved": "peak reserved",
    "infer.peak_process": "peak GPU, process",
    "infer.peak_resident": "peak host, process",
}
SAME = {
    "inference.logit_change": "change by the adapter",
    "inference.logit_error": "merged from unmerged",
}
TIME_NOTE = (
    "Adapter and base generate in turns in one run, with, without, without, with; the base is without any layer of "
    "peft's. A base alone is compared with itself: what it is off 1 is what the turns cannot tell apart."
)
HELD_NOTE = "Peaks are of one generation with nothing else in memory, not of the turns."
SAME_NOTE = "Largest differences of a logit of the first new token."
DETAILS = (
    "inference.base_first_token_seconds", "inference.base_token_seconds", "inference.cache_formula",
    "infer.peak_reserved", "infer.peak_resident",
)  # fmt: skip


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return three tables, one row a case each: time, memory, and whether the same is computed."""
    kept = generations(cases)
    adapted = [case for case in kept if state(case) != "base"]
    return [
        table("What an adapter costs per token", kept, HEADINGS, TIME, notes=(TIME_NOTE,), details=DETAILS),
        table("What generating holds in memory", kept, HEADINGS, HELD, notes=(HELD_NOTE,), details=DETAILS),
        table("What the adapter does to the logits", adapted, HEADINGS, SAME, notes=(SAME_NOTE,)),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return the time per token against the base, and speeds by work."""
    kept = generations(cases)
    return [chart for chart in (slowdowns(kept), speeds(kept)) if chart is not None]


HEADINGS: Told = {
    "base": ("base", lambda case: Cell(base_label(case))),
    "state": ("generates", lambda case: Cell(STATES[state(case)], link=case_page(case))),
    "adapter": ("adapter", lambda case: Cell(served_label(case))),
    "work": ("sequences × (prompt + new)", lambda case: Cell(work_label(case))),
}
