"""Section 1, why adapters are needed: what full fine-tuning would hold, and how little LoRA and QLoRA do."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.cases import Case
from bench.analysis.results import Results
from bench.report.beside import ratio_cell
from bench.report.claims.chosen import LARGE, MIDDLE, derived, predicted, quotient, such
from bench.report.claims.claim import Claim, Evidence, exact, where
from bench.report.forecast import number
from bench.report.tables import estimated

PREDICT = "pytest suites/test_guide.py --benchmark-only --device fake:a100-80gb"
NEAR = 0.02
"""By what share a number may be off one that was said to be "about" so much."""
ALLOCATED = "train.peak_allocated"


def weights(results: Results) -> Iterator[Evidence]:
    """Return what 70B parameters take in 16 bits: counted, and as predicted."""
    low, high = 140e9 * (1 - NEAR), 140e9 * (1 + NEAR)
    for case in predicted(results, model=LARGE, method="lora"):
        total, trained = (case.values(f"parameters.{which}")[-1] for which in ("total", "trainable"))
        cell = derived(case, 2 * (total - trained), "B", "parameters of the base, two bytes each")
        yield exact("parameters of the base, two bytes each", cell, low, high, case)
        yield exact(
            "the base's weights at the peak of training", number(case, "at_peak.base_bfloat16"), low, high, case
        )


def states(results: Results) -> Iterator[Evidence]:
    """Return AdamW's states in 16 and 32 bits, and the whole."""
    for optimizer, bits in (("adamw", "16 bits"), ("adamw_32bit", "32 bits")):
        for case in predicted(results, model=LARGE, method="full", optimizer=optimizer):
            state = number(case, "at_peak.optimizer_state")
            yield exact(f"AdamW's states in {bits}", state, 280e9 * (1 - NEAR), 280e9 * (1 + NEAR), case)
            yield exact("peak of training with them, gradients included", number(case, ALLOCATED), 420e9, case=case)


def trained(results: Results) -> Iterator[Evidence]:
    """Return the share of parameters that LoRA trains: least and most of every model, and the guide's own example."""
    share = "parameters.trainable_share"
    of_models: dict[str, list[Case]] = {}
    for case in such([*results.ran, *results.predicted], method="lora"):
        if case.values(share):
            of_models.setdefault(case.config.model, []).append(case)
    for cases in of_models.values():
        ends = {choose(case.values(share)[-1] for case in cases) for choose in (min, max)}
        for end in sorted(ends):
            case = next(case for case in cases if case.values(share)[-1] == end)
            options, cell = case.config.options, estimated(case, share)
            what = f"share that trains, rank {options['rank']} on {options['targets']}"
            yield Evidence(what, cell, cell.number < 0.001, where(case))


def a_tenth(results: Results) -> Iterator[Evidence]:
    """Return QLoRA's peak over Full's: of every model that ran with both, and of predicted ones."""
    for found in results.matched:
        full, qlora = found.speed.cases.get("full"), found.speed.cases.get("qlora")
        if full and qlora:
            cell = ratio_cell(qlora, full, ALLOCATED)
            yield exact("peak tensor memory of QLoRA over Full's", cell, 0, 0.1, qlora)
    for model in (MIDDLE, LARGE):
        for qlora in predicted(results, model=model, method="qlora", optimizer="adamw"):
            for optimizer in ("adamw", "adamw_32bit"):
                for full in predicted(results, model=model, method="full", optimizer=optimizer):
                    words = "16" if optimizer == "adamw" else "32"
                    cell = quotient(qlora, full, ALLOCATED)
                    yield exact(f"the same, AdamW's states of Full in {words} bits", cell, 0, 0.1, qlora)


CLAIMS = (
    Claim("C01", "1", "The parameters of a 70B model take about 140 GB (130 GiB) in 16 bits.", PREDICT, weights),
    Claim(
        "C02", "1", "AdamW's states add 280 GB (261 GiB) for a 70B model, which makes over 420 GB (391 GiB) in all.",
        PREDICT, states,
        remark="280 GB are two states of 16 bits; AdamW usually keeps them in 32. The guide's sum of 420 GB leaves "
               "the gradients out.",
    ),
    Claim(
        "C03", "1", "LoRA trains less than 0.1 % of the parameters.",
        "pytest suites/test_rank.py suites/test_targets.py --benchmark-only", trained, "rank",
        remark="The guide's own example in section 5 says 0.417 %.",
    ),
    Claim("C04", "1", "QLoRA needs a tenth of full fine-tuning's memory, or less.", PREDICT, a_tenth, "sizes"),
)  # fmt: skip
