"""Section 6, practice: ranks, layers, quantisation by task, several GPUs, learning rates, adaptive ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.analysis import stats
from bench.analysis.cases import Case
from bench.analysis.families import families
from bench.analysis.paired import accuracy_difference, verdict
from bench.analysis.results import Results
from bench.report.beside import accuracy_cell, ratio_cell
from bench.report.claims.chosen import such
from bench.report.claims.claim import Claim, Evidence, beside, exact, varying, where
from bench.report.claims.versus import RECIPES_COMMAND
from bench.report.comparison import comparison_table
from bench.report.summary import method_label, task_label
from bench.report.tables import Cell, case_page, estimated, sources
from bench.schema.recipes import RECIPES

RANK = "pytest suites/test_rank.py --benchmark-only"
RIGHT = "evaluate.accuracy"
GAIN = 1.05
"""How many times as accurate a higher rank would be that gains 5 %."""


def ranks(results: Results) -> Iterator[Evidence]:
    """Return rank 16 over Full, and every higher rank over rank 32 and 64."""
    for found in results.matched:
        lora = found.learning.cases.get("lora")
        rows = {str(row["row"].value): row for row in comparison_table(found).rows}
        if lora and lora.config.options.get("rank") == 16 and rows["Accuracy against Full"]["lora"].is_number:
            cell = rows["Accuracy against Full"]["lora"]
            yield varying("accuracy of rank 16 over Full's", cell, 0.98, case=lora)
    for sweep in _ranks(results):
        yield from _above(sweep, 64, 1.0)
    yield from beyond_32(results)


def beyond_32(results: Results) -> Iterator[Evidence]:
    """Return ranks above 32 over rank 32."""
    for sweep in _ranks(results):
        yield from _above(sweep, 32, GAIN)


def _ranks(results: Results) -> list[dict[int, Case]]:
    """Return trainings by rank that differ by nothing else, alpha being twice the rank."""
    cases = [case for case in _scored(results, method="lora")
             if case.config.options["alpha"] == 2 * case.config.options["rank"]]  # fmt: skip
    return [
        {int(case.config.options["rank"]): case for case in family} for family in families(cases, ("rank", "alpha"))
    ]


def _above(sweep: dict[int, Case], rank: int, most: float) -> Iterator[Evidence]:
    """Return the accuracies of ranks above one over its own; they are said to be at most so many times as large."""
    for higher in sorted(one for one in sweep if rank in sweep and one > rank):
        cell = _accuracy_ratio(sweep[higher], sweep[rank])
        yield varying(f"accuracy of rank {higher} over rank {rank}'s", cell, 0, most, sweep[higher])


def _accuracy_ratio(top: Case, bottom: Case) -> Cell:
    found = stats.accuracy_ratio(top.items("after"), bottom.items("after"))
    if found is None:
        return Cell(None, "%")
    return Cell(found.value, "%", found.low, found.high, found.n, found.how, kind="derived", link=case_page(top),
                metric=RIGHT, runs=sources(top), against=sources(bottom))  # fmt: skip


def _scored(results: Results, **wanted: object) -> list[Case]:
    """Return trainings whose test items were scored."""
    return [case for case in such(results.ran, study="training", **wanted) if case.values(RIGHT)]


def layers(results: Results) -> Iterator[Evidence]:
    """Return all linear layers minus query and value alone, at equal rank and at equal numbers of parameters."""
    for family in families(_scored(results, method="lora"), ("targets", "as_many_as")):
        every = next(iter(such(family, targets="all-linear", as_many_as="")), None)
        for narrow in such(family, targets="query-value"):
            if every:
                alike = "as many parameters" if narrow.config.options.get("as_many_as") else "the same rank"
                what = f"accuracy on all linear layers minus query and value's, {alike}"
                yield varying(what, accuracy_cell(every, narrow), math.ulp(0.0), case=every)


def by_task(results: Results) -> Iterator[Evidence]:
    """Return QLoRA minus LoRA on inference between sentences, and on numeric reasoning."""
    languages, numbers = ("mnli", "snli", "jnli"), ("gsm8k",)
    for task in (*languages, *numbers):
        cases = [case for case in _scored(results, task=task) if case.config.method in ("lora", "qlora")]
        for family in families(cases, ("method", "options", "base", "dtype", "autocast")):
            held = {"qlora" if case.config.base != "plain" else case.config.method: case for case in family}
            if "lora" in held and "qlora" in held:
                cell = accuracy_cell(held["qlora"], held["lora"])
                least, most = (-0.013, -0.003) if task in languages else (-math.inf, -0.008)
                yield varying(f"{task_label(task)}: QLoRA minus LoRA", cell, least, most, held["qlora"])


def sharding(results: Results) -> Iterator[Evidence]:
    """Return ZeRO-3 beside FSDP with prefetch on a quantised base: conversions of weights, then a step's seconds.

    Processes that share a CPU do not show how fast devices are.
    """
    more = math.nextafter(1.0, 2.0)
    for family in families(such(results.ran, study="distributed", method="qlora"), ("strategy", "forward_prefetch")):
        zero = next(iter(such(family, strategy="zero3")), None)
        early = next(iter(such(family, strategy="fsdp2", forward_prefetch=True)), None)
        if zero and zero.answers:
            again = estimated(zero, "distributed.quantizations")
            yield exact("weights that ZeRO-3 quantises again in a step", again, 1, case=zero)
        if zero and early:
            expanded = ratio_cell(zero, early, "distributed.expansions")
            yield exact("expansions of 4-bit weights in a step, ZeRO-3 over FSDP2", expanded, more, case=zero)
            seconds = ratio_cell(zero, early, "train.step_seconds")
            what = "a step with ZeRO-3 over one with FSDP2 and prefetch"
            if zero.config.device == "cpu":
                yield beside(f"{what}, sharing one CPU's cores", seconds, zero)
            else:
                yield varying(what, seconds, more, case=zero)


def rates(results: Results) -> Iterator[Evidence]:
    """Return whether any rate outside the guide's range is more accurate than the best inside it."""
    for method, low, high in (("lora", 1e-4, 5e-4), ("qlora", 1e-4, 3e-4)):
        for family in families(_scored(results, method=method, warmup_ratio=0.1), ("learning_rate",)):
            inside = [case for case in family if low <= case.config.learning_rate <= high]
            outside = [case for case in family if case not in inside]
            if len(family) > 3 and inside and outside:
                yield _best_rate(method, inside, outside)
    for family in families(_scored(results, method="qlora"), ("warmup_ratio",)):
        none = next(iter(such(family, warmup_ratio=0.0)), None)
        for warm in family:
            if none and warm is not none:
                what = f"accuracy with {warm.config.warmup_ratio:.0%} of warm-up minus without"
                yield varying(what, accuracy_cell(warm, none), math.ulp(0.0), case=warm)


def _best_rate(method: str, inside: Sequence[Case], outside: Sequence[Case]) -> Evidence:
    """Hold the best rate outside a range against the best one inside it; a tie contradicts nothing."""
    best, other = (max(cases, key=lambda case: estimated(case, RIGHT).number) for cases in (inside, outside))
    word = verdict(accuracy_difference(other, best))
    holds = None if word == "unknown" else word != "better"
    rates = f"at {other.config.learning_rate:g}, the best rate outside the range, minus at "
    what = f"{method_label(method)}: accuracy {rates}{best.config.learning_rate:g}, the best inside"
    return Evidence(what, accuracy_cell(other, best), holds, where(best))


def adaptive(results: Results) -> Iterator[Evidence]:
    """Return AdaLoRA minus a fixed rank: on images with text, which decides, and elsewhere."""
    task = RECIPES["multimodal"].task
    for family in families(_scored(results), ("method", "options", "learning_rate")):
        held = {case.config.method: case for case in family if _plain_rank(case)}
        if "adalora" in held and "lora" in held:
            cell, case = accuracy_cell(held["adalora"], held["lora"]), held["adalora"]
            what = "accuracy with AdaLoRA minus with a fixed rank"
            decides = case.config.task == task
            yield varying(what, cell, math.ulp(0.0), case=case) if decides else beside(what, cell, case)


def _plain_rank(case: Case) -> bool:
    return not case.config.options.get("as_many_as") and case.config.method in ("lora", "adalora")


CLAIMS = (
    Claim(
        "C19", "6.1", "Rank 16 reaches 98 % of full fine-tuning, accuracy saturates from rank 64, and ranks beyond 32 "
        "rarely gain 5 %.", RANK, ranks, "rank",
    ),
    Claim("C20", "6.2", "Adapters on all linear layers beat those on query and value alone.",
          "pytest suites/test_targets.py --benchmark-only", layers, "targets"),
    Claim(
        "C21", "6.3", "QLoRA is 0.8 % behind LoRA in 16 bits on inference between sentences; numeric reasoning suffers "
        "most.", "pytest suites/test_methods.py --benchmark-only --task mnli (and --task gsm8k)", by_task,
    ),
    Claim(
        "C22", "6.4", "ZeRO-3 converts quantised weights again and again and is slow; FSDP with forward prefetch is "
        "better.", "pytest suites/test_distributed.py --benchmark-only (ftbench[deepspeed]; speed: two GPUs)", sharding,
        "distributed",
    ),
    Claim(
        "C23", "6.5", "LoRA learns best at 1e-4 to 5e-4; QLoRA at 1e-4 to 3e-4, and more steadily with a warm-up of 10 "
        "to 20 %.", "pytest suites/test_learning_rate.py --benchmark-only", rates, "learning_rate",
    ),
    Claim("C24", "6", "For images with text adaptive ranks (AdaLoRA) beat fixed ones.", RECIPES_COMMAND, adaptive,
          "recipes", remark="AdaLoRA is from 2023 (arXiv 2303.10512), not from 2025."),
)  # fmt: skip
