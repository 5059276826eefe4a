"""What a merge keeps: the update in the weights, what the merged model says and gets right, and what it weighs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.cases import Case
from bench.analysis.paired import answers, difference, verdict
from bench.report.asked import Told, table
from bench.report.beside import WORDS
from bench.report.chart import Chart
from bench.report.display import POINTS
from bench.report.merges import (
    ROUNDS,
    WAYS,
    adapter_label,
    base_label,
    drifts,
    kept_by_size,
    kept_by_way,
    merges,
    right_by_way,
)
from bench.report.sweeps import TRAINED
from bench.report.tables import Cell, Table, case_page, ending, sources

KEPT = {
    "merging.update_size": "size of the update",
    "merging.update_kept": "kept",
    "merging.update_error": "error against the update",
    "merging.weight_error": "error against the weights",
    "merging.weight_error_largest": "largest error",
}
SAID = {
    "merging.kl_of_base": "KL, base",
    "merging.kl": "KL, merged",
    "merging.flips_of_base": "other top token, base",
    "merging.flips": "other top token, merged",
    "merging.logit_difference": "largest logit difference",
    "merging.kl_from_base": "KL, merged from base",
    "merging.perplexity_base": "perplexity, base",
    "merging.perplexity_unmerged": "unmerged",
    "merging.perplexity_merged": "merged",
}
RIGHT = {
    "evaluate.accuracy_before": "base right",
    "evaluate.accuracy": "unmerged right",
    "merging.accuracy": "merged right",
}
HELD = {
    "merge.weights_before": "weights before",
    "merge.weights_after": "weights after",
    "merging.allocated_before": "allocated before",
    "merging.allocated_after": "allocated after",
    "merge.seconds": "merging took",
}
DRIFT = {"merging.drift": "drift after all", "merging.kl": "KL to before", "merging.update_size": "size of the update"}
KEPT_NOTE = (
    "Size: the update over the weights it sits on. Kept: the change merging really made, projected onto the update; "
    "0 % is the base again. Error against the update: 100 % is as wrong as no merge at all."
)
SAID_NOTE = (
    "KL divergence (nats) and other top token: from the unmerged model, over the same tokens; a merge that keeps "
    "nothing gives what the base gives. Perplexity: of the test items' answers."
)
RIGHT_NOTE = "Differences are paired by item and seed; a tie is one whose interval holds 0."
HELD_NOTE = "Weights before count the adapter. Merging took: with files written and read on the way; all rounds of it."


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return five tables, one row a case each: weights, words, accuracy, memory, drift."""
    kept = merges(cases)
    drifting = [case for case in kept if case.config.study_options["way"] == "repeated"]
    beside = {**_against("after", "unmerged"), **_against("before", "base")}
    return [
        table("What of the update is in the merged weights", kept, HEADINGS, KEPT, notes=(KEPT_NOTE,), details=DETAILS),
        table("What the merged model says", kept, HEADINGS, SAID, notes=(SAID_NOTE,), details=DETAILS),
        table("What the merged model gets right", kept, HEADINGS, RIGHT, more=beside, notes=(RIGHT_NOTE,)),
        table("What the merged model weighs", kept, HEADINGS, HELD, more=FORMS, notes=(HELD_NOTE,)),
        table("Drift of a base that is merged and unmerged again and again", drifting, HEADINGS, DRIFT, more=ROUND),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return what is kept by base and way and by the size of the update, accuracy by base and way, and drift."""
    kept = merges(cases)
    made = (kept_by_way(kept), kept_by_size(kept), right_by_way(kept), drifts(kept))
    return [chart for chart in made if chart is not None]


def _against(items: str, word: str) -> Told:
    """Return the columns of the merged model's accuracy beside that of another of the three."""

    def gap(case: Case) -> Cell:
        apart = difference(answers(case, "merged"), answers(case, items))
        return Cell("") if apart is None else Cell(
            apart.value, POINTS, apart.low, apart.high, apart.n, apart.how,
            kind="derived", link=case_page(case), runs=sources(case), against=sources(case),
        )  # fmt: skip

    def verdict_of(case: Case) -> Cell:
        return Cell(WORDS[verdict(difference(answers(case, "merged"), answers(case, items)))])

    return {f"against_{word}": (f"merged - {word}", gap), f"word_{word}": (f"against {word}", verdict_of)}


def _form(case: Case, when: str) -> str:
    if not case.ok:
        return ending(case)
    resolved = case.ok[-1].record.resolved
    held = str(resolved.get(f"merge.quantization{when}", "none"))
    return str(resolved.get(f"merge.dtype{when}", "")) if held == "none" else held


def _first_drift(case: Case) -> Cell:
    drifts = [number for run in case.ok for number in run.record.series.get(ROUNDS, ())[:1]]
    return Cell("") if not drifts or drifts[-1] is None else Cell(
        float(drifts[-1]), "%", n=1, kind=case.kind.value, link=case_page(case), runs=sources(case)
    )  # fmt: skip


HEADINGS: Told = {
    "base": ("base", lambda case: Cell(base_label(case))),
    "way": ("merged", lambda case: Cell(WAYS[str(case.config.study_options["way"])], link=case_page(case))),
    "adapter": ("adapter", lambda case: Cell(adapter_label(case))),
    **TRAINED,
}
FORMS: Told = {
    "form_before": ("held before", lambda case: Cell(_form(case, "_before"))),
    "form_after": ("held after", lambda case: Cell(_form(case, ""))),
}
ROUND: Told = {
    "rounds": ("rounds", lambda case: Cell(str(case.config.study_options["merge_rounds"]))),
    "first_drift": ("drift after one", _first_drift),
}
DETAILS = ("merging.weight_error_largest", "merging.logit_difference", "merging.kl_from_base")
