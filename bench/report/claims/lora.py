"""Section 2, how LoRA works: how fast it trains, what it leaves as it was, and what it costs in inference."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.beside import ratio_cell
from bench.report.claims.chosen import such
from bench.report.claims.claim import Claim, Evidence, beside, exact, varying
from bench.report.merges import adapter_on_layers
from bench.report.tables import estimated

METHODS = "pytest suites/test_methods.py --benchmark-only"
SLOWDOWN, UNCHANGED = "inference.slowdown", "adapters.base_unchanged"
ALL_LINEAR = "all-linear"


def time(results: Results) -> Iterator[Evidence]:
    """Return LoRA's seconds a step over Full's, wherever both were measured on equal work."""
    for found in results.matched:
        full, lora = found.speed.cases.get("full"), found.speed.cases.get("lora")
        if full and lora:
            cell = ratio_cell(lora, full, "train.step_seconds")
            yield varying("seconds a step, LoRA over Full", cell, 0.1, 0.2, lora)


def unchanged(results: Results) -> Iterator[Evidence]:
    """Return the share of the base's tensors that are bit for bit the same after everything was done to adapters."""
    cases = [case for case in such(results.ran, study="adapters") if case.values(UNCHANGED)]
    for case in cases:
        what = f"{adapter_on_layers(case)}, {case.config.study_options['count']} in one model: base tensors unchanged"
        yield exact(what, estimated(case, UNCHANGED), 1, 1, case)


def slower(results: Results) -> Iterator[Evidence]:
    """Return the time per token with an adapter beside its base over the base's own, by the layers it sits on."""
    cases = [case for case in such(results.ran, study="inference", state="unmerged", method="lora", base="plain")
             if case.values(SLOWDOWN) and case.config.batch_size == 1]  # fmt: skip
    for case in cases:
        cell, what = estimated(case, SLOWDOWN), f"time per token, {adapter_on_layers(case)}"
        asked = case.config.study_options
        what += f", {asked['prompt_tokens']} + {asked['new_tokens']} tokens"
        on_all = case.config.options["targets"] == ALL_LINEAR
        yield varying(what, cell, least=1.0, case=case) if on_all else beside(what, cell, case)


CLAIMS = (
    Claim(
        "C05", "2", "LoRA trains in a fifth to a tenth of the time that full fine-tuning takes.", METHODS, time,
        "sizes",
        remark="The guide's own table in section 4 says 2 to 3 times faster.",
    ),
    Claim(
        "C06", "2", "The base's weights stay as they are, so that adapters can be exchanged.",
        "pytest suites/test_adapters.py --benchmark-only", unchanged, "adapters",
    ),
    Claim(
        "C07", "2", "Adapters on all layers slow inference down.", "pytest suites/test_inference.py --benchmark-only",
        slower, "inference",
    ),
)  # fmt: skip
