"""What a merge keeps: the update in the weights, what the merged model says and gets right, and what it weighs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.analysis.cases import Case
from bench.analysis.paired import difference, verdict
from bench.report.beside import WORDS
from bench.report.display import POINTS
from bench.report.figures import Chart
from bench.report.merges import (
    ROUNDS,
    WAYS,
    adapter_label,
    base_label,
    drifts,
    kept_by_size,
    kept_by_way,
    merges,
    name,
    right_by_way,
)
from bench.report.summary import model_label, task_label
from bench.report.tables import Cell, Column, Table, case_page, ending, sources
from bench.report.tidy import Row, possible, tidy
from bench.schema.metrics import METRICS

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
    refused = tuple(_refusals(kept))
    return [
        _table("What of the update is in the merged weights", kept, KEPT, _row, (KEPT_NOTE, *refused)),
        _table("What the merged model says", kept, SAID, _row, (SAID_NOTE, *refused)),
        _table("What the merged model gets right", kept, RIGHT, _right_row, (RIGHT_NOTE, *refused)),
        _table("What the merged model weighs", kept, HELD, _held_row, (HELD_NOTE, *refused)),
        _table("Drift of a base that is merged and unmerged again and again", drifting, DRIFT, _drift_row, ()),
    ]  # fmt: skip


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return what is kept by base and way and by the size of the update, accuracy by base and way, and drift."""
    kept = merges(cases)
    made = (kept_by_way(kept), kept_by_size(kept), right_by_way(kept), drifts(kept))
    return [chart for chart in made if chart is not None]


def _heading(case: Case) -> Row:
    config = case.config
    return {
        "base": Cell(base_label(case)),
        "way": Cell(WAYS[str(config.study_options["way"])], link=case_page(case)),
        "adapter": Cell(adapter_label(case)),
        "trained": Cell(f"{config.steps} × {config.learning_rate:g}"),
        "model": Cell(model_label(config.model)),
        "task": Cell(task_label(config.task)),
        "device": Cell(case.device),
        "kind": Cell(case.kind.value),
        "case": Cell(case.name),
    }


HEADINGS = {
    "base": "base", "way": "merged", "adapter": "adapter", "trained": "steps × rate", "model": "model", "task": "task",
    "device": "device", "kind": "kind", "case": "case",
}  # fmt: skip
EXTRA = {
    "against_unmerged": "merged - unmerged", "word_unmerged": "that is", "against_base": "merged - base",
    "word_base": "and that", "form_before": "held before", "form_after": "held after", "rounds": "rounds",
    "first_drift": "drift after one",
}  # fmt: skip
DETAILS = ("merging.weight_error_largest", "merging.logit_difference", "merging.kl_from_base")
ALWAYS = ("base", "way", "adapter", "trained")


def _table(
    title: str,
    cases: Sequence[Case],
    figures: Mapping[str, str],
    row: Callable[[Case, Mapping[str, str]], Row],
    notes: tuple[str, ...],
) -> Table:
    rows = tuple({**_heading(case), **row(case, figures)} for case in cases)
    differing = {key for key in HEADINGS if len({made[key].text for made in rows}) > 1}
    columns = [Column(key, text, detail=key == "case" or key not in {*ALWAYS, *differing})
               for key, text in HEADINGS.items()]  # fmt: skip
    columns += [Column(key, text, METRICS[key].about, detail=key in DETAILS) for key, text in figures.items()]
    columns += [Column(key, text) for key, text in EXTRA.items() if any(key in made for made in rows)]
    return tidy(Table(title, tuple(columns), rows, notes if rows else ()), list(figures))


def _row(case: Case, figures: Mapping[str, str]) -> Row:
    return {key: possible(case, key) for key in figures}


def _right_row(case: Case, figures: Mapping[str, str]) -> Row:
    found: dict[str, Cell] = dict(_row(case, figures))
    for against, items in (("unmerged", "after"), ("base", "before")):
        apart = difference(_answers(case, "merged"), _answers(case, items))
        found[f"word_{against}"] = Cell(WORDS[verdict(apart)])
        found[f"against_{against}"] = Cell("") if apart is None else Cell(
            apart.value, POINTS, apart.low, apart.high, apart.n, apart.how,
            kind="derived", link=case_page(case), runs=sources(case), against=sources(case),
        )  # fmt: skip
    return found


def _answers(case: Case, items: str) -> dict[int, str]:
    return {run.record.config.seed: run.record.items[items] for run in case.ok if run.record.items.get(items)}


def _held_row(case: Case, figures: Mapping[str, str]) -> Row:
    return {
        **_row(case, figures),
        "form_before": Cell(_form(case, "_before")),
        "form_after": Cell(_form(case, "")),
    }


def _form(case: Case, when: str) -> str:
    if not case.ok:
        return ending(case)
    resolved = case.ok[-1].record.resolved
    held = str(resolved.get(f"merge.quantization{when}", "none"))
    return str(resolved.get(f"merge.dtype{when}", "")) if held == "none" else held


def _drift_row(case: Case, figures: Mapping[str, str]) -> Row:
    drifts = [number for run in case.ok for number in run.record.series.get(ROUNDS, ())[:1]]
    first = Cell("") if not drifts or drifts[-1] is None else Cell(
        float(drifts[-1]), "%", n=1, kind=case.kind.value, link=case_page(case), runs=sources(case)
    )  # fmt: skip
    rounds = Cell(str(case.config.study_options["merge_rounds"]))
    return {**_row(case, figures), "rounds": rounds, "first_drift": first}


def _refusals(cases: Sequence[Case]) -> Iterator[str]:
    """Say why no run of a case went well, in the last one's words."""
    for case in cases:
        failure = None if case.ok else case.failed[-1].record.failure
        if failure is not None:
            yield f"{name(case)}: {ending(case)}: {failure.message}"
