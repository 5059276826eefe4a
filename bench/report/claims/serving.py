"""Section 8 and the questions at the end: what a merge costs and keeps, and what changing adapters costs."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.cases import Case
from bench.analysis.paired import answers, difference
from bench.analysis.results import Results
from bench.report.claims.chosen import predicted, quotient, such
from bench.report.claims.claim import Claim, Evidence, beside, exact, varying, where
from bench.report.claims.practice import RANK, beyond_32
from bench.report.display import POINTS
from bench.report.generation import served_label
from bench.report.merges import adapter_label, base_label, in_place
from bench.report.tables import Cell, case_page, estimated, sources

MERGING = "pytest suites/test_merging.py --benchmark-only"
ADAPTERS = "pytest suites/test_adapters.py --benchmark-only"
SLOWDOWN = "inference.slowdown"
EQUAL = 0.05
"""By what share a merged model may be slower or faster than its base and still count as fast as it."""
HALF = 0.5
"""Share of the time of loading from which on setting counts as loading again."""
LOSS = 0.001
"""The guide's 0.1 %."""


def as_fast(results: Results) -> Iterator[Evidence]:
    """Return the time per token of merged models over that of their bases, and of unmerged ones beside."""
    for case in such(results.ran, study="inference", method="lora", batch_size=1):
        state, cell = case.config.study_options["state"], estimated(case, SLOWDOWN)
        what = f"time per token over the base's, {state}, {served_label(case)}, base in {base_label(case)}"
        if state == "merged" and case.config.base == "plain":
            yield varying(what, cell, 1 - EQUAL, 1 + EQUAL, case)
        elif state == "merged":
            yield beside(what, cell, case)


def _into_4_bits(results: Results) -> list[Case]:
    return [case for case in such(results.ran, study="merging", base="nf4") if in_place(case) and case.answers]


def loss(results: Results) -> Iterator[Evidence]:
    """Return the accuracy of models merged into NF4 minus that before the merge, and what else the merge changed."""
    for case in _into_4_bits(results):
        training = f"{adapter_label(case)}, {case.config.steps} steps at {case.config.learning_rate:g}"
        gap = difference(answers(case, "merged"), answers(case, "after"))
        if gap is not None:
            cell = Cell(gap.value, POINTS, gap.low, gap.high, gap.n, gap.how, kind="derived", link=case_page(case),
                        runs=sources(case), against=sources(case))  # fmt: skip
            yield varying(f"accuracy merged minus unmerged, {training}", cell, -LOSS, case=case)
        yield beside(f"of the update kept in the weights, {training}", estimated(case, "merging.update_kept"), case)
        yield beside(f"tokens of which another one is likeliest, {training}", estimated(case, "merging.flips"), case)


def same_memory(results: Results) -> Iterator[Evidence]:
    """Return the bytes of merged models over those before, the adapter counted among them."""
    found = [*_into_4_bits(results)[:1], *such(results.ran, study="merging", base="int8")[:1]]
    for model in ("llama-3.1-8b", "llama-3.3-70b"):
        found += predicted(results, model=model, method="qlora", optimizer="adamw")
    for case in found:
        cell = quotient(case, case, "merge.weights_after", "merge.weights_before")
        held = case.answers[-1].record.resolved.get("merge.quantization", "") if case.answers else ""
        yield exact(f"weights after the merge over before, then held as {held or 'before'}", cell, 0, 1.0, case)


def reloading(results: Results) -> Iterator[Evidence]:
    """Return what loading and exchanging adapters takes, and what setting one of those in the model takes beside."""
    cases = such(results.ran, study="adapters", method="lora", count=8) or such(results.ran, study="adapters")
    for case in cases[:2]:
        load, swap, set_one = (case.values(f"adapters.{what}_seconds") for what in ("load", "swap", "set"))
        if not load or not set_one:
            continue
        yield exact("loading a file as one adapter more", estimated(case, "adapters.load_seconds"), 0, case=case)
        if swap:
            yield beside(
                "a file's weights over an adapter's (hot-swap)", estimated(case, "adapters.swap_seconds"), case
            )
        cell = quotient(case, case, "adapters.set_seconds", "adapters.load_seconds")
        what = "setting an adapter that is in the model, over loading one"
        yield Evidence(what, cell, cell.number > HALF, where(case))


CLAIMS = (
    Claim("C25", "8", "Merging removes what an adapter costs in inference.",
          "pytest suites/test_inference.py --benchmark-only", as_fast, "inference"),
    Claim("C26", "8", "Merging into a base of 4 bits costs less than 0.1 %.", MERGING, loss, "merging"),
    Claim(
        "C27", "8", "The merged model stays quantised and takes the memory it took before.", MERGING, same_memory,
        "merging", remark="True of peft's merge in place, and the reason why it rounds.",
    ),
    Claim("C34", "FAQ", "Changing adapters takes the time to load them again.", ADAPTERS, reloading, "adapters",
          remark="Adapters that are in the model already are set without loading anything."),
    Claim("C35", "FAQ", "Ranks above 32 rarely gain 5 %.", RANK, beyond_32, "rank"),
)  # fmt: skip
